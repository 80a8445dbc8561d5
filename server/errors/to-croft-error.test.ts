import { expect, it } from 'vitest'
import { EACCES, ENOENT, ENOSPC, ENOTEMPTY, Errno } from '../../fs-layer/protocol/errno.ts'
import { StoreError } from '../../fs-layer/store/store-error.ts'
import { FsLayerError } from '../../fs-layer/worker/fs-layer-error.ts'
import { AgentError } from '../../runtimes/contract/agent.ts'
import { RuntimeError } from '../../runtimes/contract/runtime.ts'
import { CroftError, printable } from './croft-error.ts'
import { toCroftError } from './to-croft-error.ts'

it.each([
  [ENOENT, 'NOT_FOUND'],
  [EACCES, 'PERMISSION_DENIED'],
  [ENOTEMPTY, 'FAILED_PRECONDITION'],
  [ENOSPC, 'RESOURCE_EXHAUSTED'],
  [Errno.of('EIO'), 'DATA_LOSS'],
  [new FsLayerError('thread-died', 'x'), 'UNAVAILABLE'],
  [new StoreError('full', 'no room'), 'RESOURCE_EXHAUSTED'],
  [new StoreError('not-found', 'no'), 'NOT_FOUND'],
  [new StoreError('corrupt', 'bad'), 'DATA_LOSS'],
  [new RuntimeError('unsupported', 'bwrap', 'no'), 'UNIMPLEMENTED'],
  [new RuntimeError('unavailable', 'bwrap', 'no'), 'FAILED_PRECONDITION'],
  [new AgentError('protocol', 'lies'), 'ABORTED'],
])('%s is %s', (error, code) => {
  expect(toCroftError(error)?.code).toBe(code)
})

it('what the agent says is not passed on', () => {
  expect(toCroftError(new AgentError('protocol', 'trust me'))?.message).not.toContain('trust me')
})

it('what nobody foresaw has no answer', () => {
  expect(toCroftError(new TypeError('x is undefined'))).toBeUndefined()
  expect(toCroftError(new StoreError('io', 'EIO'))).toBeUndefined()
})

it('an answer stays what it is', () => {
  const error = new CroftError('ABORTED', 'x')
  expect(toCroftError(error)).toBe(error)
})

it('printable text moves no cursor and turns no line around', () => {
  expect(printable('a\u001b[2Jb\u202ec\u0085\n')).toBe('a\ufffd[2Jb\ufffdc\ufffd\ufffd')
  expect(printable('x'.repeat(201))).toHaveLength(201)
})
