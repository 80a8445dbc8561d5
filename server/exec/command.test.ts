import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ExecRequestSchema } from '../../proto/index.ts'
import { limitsSchema } from '../config/limits.ts'
import { parseCommand } from './command.ts'

const limits = limitsSchema.parse({
  maxCommandBytes: 10,
  maxArguments: 3,
  maxArgumentsBytes: 12,
  maxEnvironmentBytes: 12,
  execTimeoutMaxMs: 2000,
  execTimeoutDefaultMs: 1500,
})

function parse(request: MessageInitShape<typeof ExecRequestSchema>, liveInput = false) {
  return parseCommand(create(ExecRequestSchema, request), { limits, workspace: '/workspace', liveInput })
}

describe('what is run', () => {
  it('a command goes to sh, in the view, with no variables but its own', () => {
    const { spec, timeout, input } = parse({ command: 'ls' })
    expect(spec).toMatchObject({ argv: ['/bin/sh', '-c', 'ls'], cwd: '/workspace' })
    expect(spec.env).toEqual({})
    expect(timeout).toEqual({ ms: 1500, asked: false })
    expect(input).toBeUndefined()
    expect(spec).not.toHaveProperty('stdin')
  })

  it('arguments go to the program as they are', () => {
    const { spec } = parse({ argv: [Buffer.from('a'), Uint8Array.of(0xff)] })
    expect(spec.argv).toEqual([Buffer.from('a'), Buffer.of(0xff)])
  })

  it('variables of the request are the command’s', () => {
    expect(parse({ command: 'x', env: { HOME: '/h' } }).spec.env).toEqual({ HOME: '/h' })
  })

  it.each([
    ['sub/dir', '/workspace/sub/dir'],
    ['/tmp', '/tmp'],
    ['..', '/'],
    ['../../..', '/'],
  ])('workdir %j is %j inside', (workdir, cwd) => {
    expect(parse({ command: 'x', workdir }).spec.cwd).toBe(cwd)
  })

  it('stdin is text or bytes', () => {
    expect(parse({ command: 'x', stdin: 'é' }).input).toEqual(Buffer.from('é'))
    expect(parse({ command: 'x', stdinBytes: Uint8Array.of(0) })).toMatchObject({
      input: Buffer.of(0),
      spec: { stdin: true },
    })
  })
})

describe('what is refused, by its field', () => {
  const refused: [string, MessageInitShape<typeof ExecRequestSchema>][] = [
    ['command', {}],
    ['command', { command: 'a\0b' }],
    ['command', { command: '12345678901' }],
    ['argv', { command: 'x', argv: [Buffer.from('x')] }],
    ['argv', { argv: ['1', '2', '3', '4'].map((one) => Buffer.from(one)) }],
    ['argv', { argv: [Buffer.from('123456789012')] }],
    ['argv[0]', { argv: [Buffer.alloc(0)] }],
    ['argv[1]', { argv: [Buffer.from('x'), Buffer.from('\0')] }],
    ['env', { command: 'x', env: { '': 'x' } }],
    ['env', { command: 'x', env: { 'a=b': 'x' } }],
    ['env', { command: 'x', env: { a: '\0' } }],
    ['env', { command: 'x', env: { abcdef: 'ghijk' } }],
    ['stdin_bytes', { command: 'x', stdin: 'a', stdinBytes: Uint8Array.of(1) }],
    ['workdir', { command: 'x', workdir: 'a\0' }],
    ['workdir', { command: 'x', workdir: 'x'.repeat(4090) }],
    ['timeout', { command: 'x', timeout: { seconds: -1n } }],
    ['timeout', { command: 'x', timeout: { seconds: 2n, nanos: 1_000_000 } }],
  ]
  it.each(refused)('%s, case %#', (field, request) => {
    expect(() => parse(request)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field }))
  })

  it('at its limit each is taken', () => {
    expect(parse({ command: '1234567890' }).spec.argv[2]).toBe('1234567890')
    expect(parse({ argv: ['a', 'b', 'c'].map((one) => Buffer.from(one)) }).spec.argv).toHaveLength(3)
    expect(parse({ argv: [Buffer.from('12345678901')] }).spec.argv).toHaveLength(1)
    expect(parse({ command: 'x', env: { abcdef: 'ghij' } }).spec.env).toHaveProperty('abcdef')
    expect(parse({ command: 'x', timeout: { seconds: 2n } }).timeout).toEqual({ ms: 2000, asked: true })
  })

  it('a user that is not the sandbox’s own', () => {
    for (const user of ['', 'croft', '1000']) expect(parse({ command: 'x', user }).spec.argv).toContain('x')
    for (const user of ['root', '0', 'croft\0', '1000:0']) {
      const refusal = expect.objectContaining({ code: 'UNIMPLEMENTED', field: 'user' })
      expect(() => parse({ command: 'x', user })).toThrow(refusal)
    }
  })

  it('input that is known beforehand, where it comes in messages of its own', () => {
    expect(() => parse({ command: 'x', stdin: 'a' }, true)).toThrow(/stdin/)
  })
})
