import { expect, it } from 'vitest'
import type { SandboxRecord, SandboxStatus } from '../records/record-types.ts'
import { type SandboxEvent, transition } from './transition.ts'

const record = (status: SandboxStatus): SandboxRecord => ({
  ...{ id: 'sb_1', sequence: 1, createdAtMs: 1, codebaseId: 'cb_1', base: 'b', preset: '', rules: [], labels: {} },
  ...{ runtime: 'bwrap', limits: {}, status, ...(status === 'error' ? { error: 'why' } : {}) },
})

const EVENTS: readonly SandboxEvent[] = [
  { type: 'started' },
  { type: 'stopped' },
  { type: 'failed', reason: 'because' },
  { type: 'destroyed' },
]

const ALLOWED: Readonly<Record<SandboxStatus, readonly SandboxEvent['type'][]>> = {
  pending: ['started', 'failed', 'destroyed'],
  running: ['stopped', 'failed', 'destroyed'],
  stopped: ['started', 'failed', 'destroyed'],
  error: ['started', 'failed', 'destroyed'],
  destroyed: ['destroyed'],
}

const cases = Object.entries(ALLOWED).flatMap(([status, allowed]) =>
  EVENTS.map((event) => [status as SandboxStatus, event, allowed.includes(event.type)] as const),
)

it.each(cases)('%s and $type: %s', (status, event, allowed) => {
  const change = () => transition(record(status), event, 9)
  if (allowed) expect(change().id).toBe('sb_1')
  else expect(change).toThrow(expect.objectContaining({ code: 'FAILED_PRECONDITION' }))
})

it('a start says when and forgets the error', () => {
  const started = transition(record('error'), { type: 'started' }, 9)
  expect(started).toMatchObject({ status: 'running', startedAtMs: 9 })
  expect(started).not.toHaveProperty('error')
})

it('a failure keeps its reason and the time of the end', () => {
  const failed = transition(record('running'), { type: 'failed', reason: 'because' }, 9)
  expect(failed).toMatchObject({ status: 'error', error: 'because', stoppedAtMs: 9 })
})
