import { fromBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { AnySchema, anyUnpack, type Duration } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type ExecOutput,
  ExecResultSchema,
  FileKind,
  ExecOutput_OutputType as Output,
  Principal,
  SessionStatus,
} from '../../proto/index.ts'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const CAP = 1000

let dir: string
let server: ServerProcess
let wire: Wire
let sandboxId: string

beforeAll(async () => {
  if (!(await has('root')) || !(await has('fuse')) || !(await has('bwrap'))) return
  dir = temporaryServerDir()
  const limits = [`maxUnaryOutputBytes=${CAP}`, 'maxCommandsPerSandbox=4', 'killGraceMs=100', 'maxSessionsPerSandbox=2']
  server = await ServerProcess.start(dir, ...limits.flatMap((limit) => ['--limit', limit]))
  wire = server.wire
  const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'project' })
  for (const filePath of ['a.txt', 'sub/b.txt', '.env']) {
    await wire.codebases.uploadFiles([
      { content: { case: 'metadata', value: { codebaseId, filePath, totalSize: 5n } } },
      { content: { case: 'data', value: Buffer.from('hello') } },
    ])
  }
  sandboxId = (await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })).id
})

afterAll(async () => {
  if (server === undefined) return
  expect(await server.end('SIGTERM')).toBe(0)
  expect(server.mounts()).toEqual([])
  removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const bytes = (text: string) => Buffer.from(text)

function text(outputs: readonly ExecOutput[], type: Output): string {
  return Buffer.concat(outputs.filter((output) => output.type === type).map(({ data }) => data)).toString()
}

function durationMs(duration: Duration | undefined): number {
  return Number(duration?.seconds) * 1000 + Number(duration?.nanos) / 1e6
}

/** Processes inside with this command line. */
async function running(commandLine: string): Promise<number> {
  const argv = ['pgrep', '--count', '--exact', '--full', commandLine].map(bytes)
  return Number((await wire.sandboxes.exec({ sandboxId, argv })).stdout)
}

describe('a command', () => {
  it('gives its output apart, its exit code and the time it took', async () => {
    const result = await wire.sandboxes.exec({ sandboxId, command: 'echo out; echo err >&2; exit 3' })
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: '', stdoutTruncated: false })
    const slept = await wire.sandboxes.exec({ sandboxId, command: 'sleep 0.02' })
    expect(durationMs(slept.duration)).toBeGreaterThanOrEqual(20)
    const work = 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; exit 3'
    const { duration, cpuUser } = await wire.sandboxes.exec({ sandboxId, command: work })
    expect(durationMs(duration)).toBeGreaterThanOrEqual(durationMs(cpuUser))
  })

  it('tells what it used, what it waited for included, unary or streamed', async () => {
    const command = "head -c 50000000 /dev/zero | tr '\\0' x | tail -c 50000000 | wc -c; exit 1"
    const { exit } = (await collect(wire.sandboxes.execStream({ sandboxId, command, reportExit: true }))).at(-1) ?? {}
    for (const used of [await wire.sandboxes.exec({ sandboxId, command }), exit]) {
      expect(durationMs(used?.cpuUser) + durationMs(used?.cpuSystem)).toBeGreaterThan(5)
      expect(Number(used?.peakMemoryBytes)).toBeGreaterThan(50_000_000)
      expect(used?.oomKilled).toBe(false)
    }
  })

  it('that a signal ended has 128 and its number', async () => {
    const result = await wire.sandboxes.exec({ sandboxId, command: 'kill -KILL $$' })
    expect(result).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
  })

  it('sees its input, environment and directory, and nothing of the server', async () => {
    const result = await wire.sandboxes.exec({
      sandboxId,
      command: 'cat; echo "$X"; pwd; env | grep -c CROFT',
      stdin: 'in\n',
      env: { X: 'y' },
      workdir: 'sub',
    })
    expect(result.stdout).toBe('in\ny\n/workspace/sub\n0\n')
  })

  it('without a shell gets its arguments as bytes', async () => {
    const result = await wire.sandboxes.exec({
      sandboxId,
      argv: [bytes('printf'), bytes('%s'), Uint8Array.of(0xff, 0x20)],
    })
    expect(result.stdout).toBe('\ufffd ')
    expect(Buffer.from(result.stdoutBytes)).toEqual(Buffer.of(0xff, 0x20))
  })

  it('that does not exist is a result with 127, in a shell or without', async () => {
    expect((await wire.sandboxes.exec({ sandboxId, command: 'no-such-thing' })).exitCode).toBe(127)
    const direct = await wire.sandboxes.exec({ sandboxId, argv: [bytes('no-such-thing')] })
    expect(direct.exitCode).toBe(127)
    expect(direct.stderr).toContain('no-such-thing')
  })

  it('that is no program is a result with 126', async () => {
    expect((await wire.sandboxes.exec({ sandboxId, argv: [bytes('/workspace/a.txt')] })).exitCode).toBe(126)
  })

  it('prints up to the cap, and more is said to be cut', async () => {
    const print = (count: number) =>
      wire.sandboxes.exec({ sandboxId, command: `head -c ${count} /dev/zero | tr '\\0' x` })
    expect(await print(CAP)).toMatchObject({ stdout: 'x'.repeat(CAP), stdoutTruncated: false, exitCode: 0 })
    expect(await print(CAP + 1)).toMatchObject({ stdout: 'x'.repeat(CAP), stdoutTruncated: true, exitCode: 0 })
  })

  it('that outruns its time is killed with all it started, and its partial output is in the details', async () => {
    const command = 'trap "" TERM; echo begun; (trap "" TERM; exec sleep 61.7) & sleep 61.7'
    const call = wire.sandboxes.exec({ sandboxId, command, timeout: { nanos: 300_000_000 } })
    const { code, reason, error } = await refusal(call)
    expect({ code, reason }).toEqual({ code: 'DEADLINE_EXCEEDED', reason: 'command_timeout' })
    expect(partialResult(error?.metadata?.get('grpc-status-details-bin')[0] as Buffer)).toMatchObject({
      stdout: 'begun\n',
    })
    expect(await running('sleep 61.7')).toBe(0)
  })

  it('whose child keeps the output open is over when it is over, and the child lives on', async () => {
    const result = await wire.sandboxes.exec({ sandboxId, command: 'sleep 61.6 & echo done' })
    expect(result.stdout).toBe('done\n')
    expect(await running('sleep 61.6')).toBe(1)
  })

  it('over the limit at one time is refused, and there is room again afterwards', async () => {
    const streams = Array.from({ length: 4 }, () =>
      wire.sandboxes.execStream({ sandboxId, command: 'echo up; sleep 61' }),
    )
    const outputs = streams.map((stream) => stream[Symbol.asyncIterator]())
    await Promise.all(outputs.map((output) => output.next()))
    expect((await refusal(wire.sandboxes.exec({ sandboxId, command: 'true' }))).code).toBe('RESOURCE_EXHAUSTED')
    for (const stream of streams) stream.cancel()
    await Promise.all(outputs.map((output) => refusal(output.next())))
    await expect
      .poll(async () => (await refusal(wire.sandboxes.exec({ sandboxId, command: 'true' }))).code, { timeout: 10_000 })
      .toBe('OK')
  })
})

describe('a streamed command', () => {
  it('ends with its exit where that was asked for, and without where not', async () => {
    const command = 'echo a; echo b >&2; exit 4'
    const plain = await collect(wire.sandboxes.execStream({ sandboxId, command }))
    expect([text(plain, Output.STDOUT), text(plain, Output.STDERR)]).toEqual(['a\n', 'b\n'])
    expect(plain.every(({ exit }) => exit === undefined)).toBe(true)
    const told = await collect(wire.sandboxes.execStream({ sandboxId, command, reportExit: true }))
    expect(told.at(-1)?.exit).toMatchObject({ exitCode: 4, signal: '' })
  })

  it('gives every byte of an output larger than all buffers to a client that takes its time', async () => {
    let received = 0
    for await (const { data } of wire.sandboxes.execStream({ sandboxId, command: 'head -c 20000000 /dev/zero' })) {
      received += data.length
    }
    expect(received).toBe(20_000_000)
  })

  it('that nobody listens to any more is killed', async () => {
    const stream = wire.sandboxes.execStream({ sandboxId, command: 'echo up; exec sleep 61.5' })
    await stream[Symbol.asyncIterator]().next()
    stream.cancel()
    await expect.poll(() => running('sleep 61.5'), { timeout: 10_000 }).toBe(0)
  })

  it('takes its input while it runs, and ends when that ends', async () => {
    const call = wire.sandboxes.execInteractive()
    call.send({ input: { case: 'start', value: { request: { sandboxId, command: 'cat', reportExit: true } } } })
    call.send({ input: { case: 'stdin', value: bytes('ping') } })
    expect(Buffer.from((await call.next())?.data ?? []).toString()).toBe('ping')
    call.send({ input: { case: 'stdinEnd', value: {} } })
    expect((await call.next())?.exit).toMatchObject({ exitCode: 0 })
    call.end()
  })

  it('on a terminal knows its size, also when that changes', async () => {
    const call = wire.sandboxes.execInteractive()
    const request = { sandboxId, command: 'tty >/dev/null && stty size; read x; stty size', reportExit: true }
    call.send({ input: { case: 'start', value: { request, terminal: { rows: 30, columns: 99 } } } })
    let printed = ''
    for (let next = await call.next(); next !== undefined && next.exit === undefined; next = await call.next()) {
      printed += Buffer.from(next.data).toString()
      if (printed.trim() === '30 99') {
        call.send({ input: { case: 'resize', value: { rows: 31, columns: 98 } } })
        call.send({ input: { case: 'stdin', value: bytes('\n') } })
      }
    }
    call.end()
    expect(printed.split(/\s+/).join(' ').trim()).toBe('30 99 31 98')
  })

  it('gets the signals that it is sent', async () => {
    const call = wire.sandboxes.execInteractive()
    const command = 'trap "echo caught; exit 5" USR1; echo ready; while :; do read line; done'
    call.send({ input: { case: 'start', value: { request: { sandboxId, command, reportExit: true } } } })
    await call.next()
    call.send({ input: { case: 'signal', value: 10 } })
    expect(Buffer.from((await call.next())?.data ?? []).toString()).toBe('caught\n')
    expect((await call.next())?.exit?.exitCode).toBe(5)
    call.end()
  })

  it.each([
    ['start', { case: 'stdin' as const, value: bytes('x') }],
    ['start.request', { case: 'start' as const, value: {} }],
  ])('without a proper %s is refused', async (field, input) => {
    const call = wire.sandboxes.execInteractive()
    call.send({ input })
    expect(await refusal(call.next())).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})

describe('a session', () => {
  it('keeps its directory and variables, closes with its shell, and stays listed', async () => {
    const session = await wire.sandboxes.createSession({ sandboxId, env: { X: '1' } })
    const run = (command: string) => wire.sandboxes.sessionExec({ sessionId: session.id, command })
    await run('cd sub; Y=2')
    expect((await run('pwd; echo $X$Y')).stdout).toBe('/workspace/sub\n12\n')
    expect((await run('exit 3')).exitCode).toBe(3)
    expect((await wire.sandboxes.getSession({ sessionId: session.id })).status).toBe(SessionStatus.CLOSED)
    expect(await refusal(run('true'))).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'session_closed' })
    const { sessions } = await wire.sandboxes.listSessions({ sandboxId })
    expect(sessions.map(({ id }) => id)).toContain(session.id)
  })

  it('streams, and reports the exit where that was asked for', async () => {
    const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId, shell: '/bin/sh' })
    const command = 'echo a; echo b >&2; (exit 4)'
    const outputs = await collect(wire.sandboxes.sessionExecStream({ sessionId, command, reportExit: true }))
    expect([text(outputs, Output.STDOUT), text(outputs, Output.STDERR)]).toEqual(['a\n', 'b\n'])
    expect(outputs.at(-1)?.exit?.exitCode).toBe(4)
    await wire.sandboxes.destroySession({ sessionId })
    expect((await refusal(wire.sandboxes.destroySession({ sessionId }))).code).toBe('FAILED_PRECONDITION')
  })

  it('whose command outruns its time can be used again', async () => {
    const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId })
    const late = wire.sandboxes.sessionExec({
      sessionId,
      command: 'echo begun; sleep 61',
      timeout: { nanos: 200_000_000 },
    })
    expect(await refusal(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED', reason: 'command_timeout' })
    expect((await wire.sandboxes.sessionExec({ sessionId, command: 'echo again' })).stdout).toBe('again\n')
    await wire.sandboxes.destroySession({ sessionId })
  })

  it('is closed at once when its shell is killed, without anybody asking', async () => {
    const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId })
    const { stdout: pid } = await wire.sandboxes.sessionExec({ sessionId, command: 'echo $$' })
    await wire.sandboxes.exec({ sandboxId, command: `kill -KILL ${pid}` })
    await expect
      .poll(async () => (await wire.sandboxes.getSession({ sessionId })).status, { timeout: 10_000 })
      .toBe(SessionStatus.CLOSED)
  })

  it('gives output as it comes, and lives on with all it knows when its caller goes away', async () => {
    const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId })
    await wire.sandboxes.sessionExec({ sessionId, command: 'X=kept' })
    const command = 'printf one; while [ ! -e live ]; do sleep 0.02; done; printf two; exec 9<>/dev/null; sleep 61.8'
    const stream = wire.sandboxes.sessionExecStream({ sessionId, command })
    const pieces = stream[Symbol.asyncIterator]()
    expect(Buffer.from((await pieces.next()).value?.data ?? []).toString()).toBe('one')
    await wire.sandboxes.exec({ sandboxId, command: 'touch live' })
    expect(Buffer.from((await pieces.next()).value?.data ?? []).toString()).toBe('two')
    stream.cancel()
    await refusal(pieces.next())
    // In its turn: after the end of what was interrupted.
    expect((await wire.sandboxes.sessionExec({ sessionId, command: 'echo $X' })).stdout).toBe('kept\n')
    expect(await running('sleep 61.8')).toBe(0)
    await wire.sandboxes.destroySession({ sessionId })
  })

  it('over the limit is refused', async () => {
    const made = [await wire.sandboxes.createSession({ sandboxId }), await wire.sandboxes.createSession({ sandboxId })]
    expect((await refusal(wire.sandboxes.createSession({ sandboxId }))).code).toBe('RESOURCE_EXHAUSTED')
    for (const { id: sessionId } of made) await wire.sandboxes.destroySession({ sessionId })
  })

  it('with a shell that is none is refused by its field', async () => {
    for (const shell of ['/no/such/shell', 'sh', '/bin/true']) {
      const refused = await refusal(wire.sandboxes.createSession({ sandboxId, shell }))
      expect(refused).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'shell' })
    }
  })
})

describe('files of a view', () => {
  const read = async (path: string, more: object = {}) => {
    const chunks = await collect(wire.files.readFile({ sandboxId, path: bytes(path), ...more }))
    return Buffer.concat(chunks.map(({ data }) => data)).toString()
  }
  const write = (path: string, content: string, more: object = {}) =>
    wire.files.writeFile([
      { message: { case: 'start', value: { sandboxId, path: bytes(path), ...more } } },
      { message: { case: 'data', value: bytes(content) } },
    ])

  it('that were written outside are read inside, and the reverse', async () => {
    expect(await write('new/dir/f', 'outside', { parents: true, mode: 0o600 })).toMatchObject({ size: 7n, mode: 0o600 })
    expect((await wire.sandboxes.exec({ sandboxId, command: 'cat new/dir/f; echo inside > new/dir/g' })).stdout).toBe(
      'outside',
    )
    expect(await read('new/dir/g')).toBe('inside\n')
    expect(await read('/new/dir/f', { offset: 3n, length: 2n })).toBe('si')
  })

  it('are made, renamed, listed and removed', async () => {
    await wire.files.makeDirectory({ sandboxId, path: bytes('m/n') })
    await write('m/n/x', 'x')
    await wire.files.renameFile({ sandboxId, from: bytes('m/n'), to: bytes('m/o') })
    const listed = await collect(wire.files.listDirectory({ sandboxId, path: bytes('m'), recursive: true }))
    const entries = listed.flatMap((page) => page.entries.map(({ path, kind }) => [Buffer.from(path).toString(), kind]))
    expect(entries).toEqual([
      ['m/o', FileKind.DIRECTORY],
      ['m/o/x', FileKind.FILE],
    ])
    const remove = (recursive: boolean) => wire.files.removeFile({ sandboxId, path: bytes('m'), recursive })
    expect((await refusal(remove(false))).code).toBe('FAILED_PRECONDITION')
    await remove(true)
    expect((await refusal(wire.files.statFile({ sandboxId, path: bytes('m') }))).code).toBe('NOT_FOUND')
  })

  it('that the rules hide do not exist for the sandbox, and do for the owner', async () => {
    expect((await refusal(read('.env'))).code).toBe('NOT_FOUND')
    expect(await read('.env', { principal: Principal.OWNER })).toBe('hello')
  })

  it('are not replaced by a write that was cut', async () => {
    await write('kept', 'before')
    const cut = wire.files.writeFile(
      [
        { message: { case: 'start', value: { sandboxId, path: bytes('kept') } } },
        { message: { case: 'data', value: bytes('half') } },
      ],
      true,
    )
    expect((await refusal(cut)).code).toBe('CANCELLED')
    expect(await read('kept')).toBe('before')
  })

  it.each([
    ['a/../b', 'path'],
    ['a\0', 'path'],
    ['', 'path'],
    ['x'.repeat(4097), 'path'],
  ])('at the path %j are refused by the field', async (path, field) => {
    expect(await refusal(read(path))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  it('answer what the filesystem says', async () => {
    expect((await refusal(write('a.txt', 'x', { exclusive: true }))).code).toBe('ALREADY_EXISTS')
    expect((await refusal(read('sub'))).code).toBe('INVALID_ARGUMENT')
    expect((await refusal(read('a.txt/x'))).code).toBe('INVALID_ARGUMENT')
    expect((await refusal(write('no/parent', 'x'))).code).toBe('NOT_FOUND')
  })

  it('that changed are told, and exported as a tar stream', async () => {
    await wire.sandboxes.exec({ sandboxId, command: 'echo more >> a.txt' })
    const changes = (await collect(wire.snapshots.listChanges({ sandboxId }))).flatMap((page) => page.changes)
    expect(changes.map(({ path }) => Buffer.from(path).toString())).toContain('a.txt')
    const tar = Buffer.concat((await collect(wire.snapshots.exportSnapshot({ sandboxId }))).map(({ data }) => data))
    expect(tar.length % 512).toBe(0)
    expect(tar.includes('a.txt')).toBe(true)
    expect(tar.includes('.env')).toBe(false)
  })
})

/** The detail of a google.rpc.Status (its third field). */
function partialResult(statusBytes: Buffer) {
  const reader = new BinaryReader(statusBytes)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field !== 3) reader.skip(wireType)
    else return anyUnpack(fromBinary(AnySchema, reader.bytes()), ExecResultSchema)
  }
  return undefined
}
