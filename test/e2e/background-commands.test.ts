import { connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { execa, type Options } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type BackgroundOutput, Sandbox } from '../../sdk/index.ts'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')
const KEPT_BYTES = 65_536

let dir: string
let server: ServerProcess
let sandbox: Sandbox
let sandboxId: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(
    dir,
    '--limit',
    `backgroundOutputBytes=${KEPT_BYTES}`,
    '--limit',
    'killGraceMs=100',
  )
  const { id: codebaseId } = await server.wire.codebases.createCodebase({ name: 'project' })
  sandboxId = (await server.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })).id
  sandbox = await Sandbox.connect(sandboxId, { server: `unix://${server.ready.socket}` })
})

afterAll(async () => {
  if (server === undefined) return
  sandbox.close()
  expect(await server.end('SIGTERM')).toBe(0)
  removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const textOf = (pieces: readonly BackgroundOutput[]) => pieces.map(({ text }) => text).join('')
/** Waits inside until somebody makes the file. */
const until = (file: string) => `while [ ! -e ${file} ]; do sleep 0.02; done`

describe('a command in the background', () => {
  it('goes on by itself, and tells its output and its exit to whoever asks later', async () => {
    const { id } = await sandbox.commands.start('echo out; echo err >&2; exit 3', { env: { X: '1' }, cwd: '/tmp' })
    const again = sandbox.commands.get(id)
    expect(await again.wait()).toMatchObject({ exitCode: 3, timedOut: false, sandboxEnded: false })
    const pieces = await collect(again.output())
    expect(pieces.map(({ type, text }) => `${type} ${text}`).toSorted()).toEqual(['stderr err\n', 'stdout out\n'])
    const info = await again.info()
    expect(info).toMatchObject({ id, sandboxId, exit: { exitCode: 3 }, outputStart: 0, outputEnd: 8 })
    expect((await sandbox.commands.list()).map((listed) => listed.id)).toContain(id)
  })

  it('takes the input that it is given', async () => {
    const command = await sandbox.commands.start(['cat'], { stdin: 'typed' })
    expect(textOf(await collect(command.output()))).toBe('typed')
  })

  it('that cannot be started has ended, with what a shell would say', async () => {
    const command = await sandbox.commands.start(['no-such-program'])
    expect(await command.wait()).toMatchObject({ exitCode: 127 })
    expect(textOf(await collect(command.output()))).toContain('no-such-program')
  })

  it('is read live, and from a cursor on where the reader was', async () => {
    const command = await sandbox.commands.start(`printf 'a\\303'; ${until('go1')}; printf '\\251b'`)
    const reading = command.output()
    const first = (await reading.next()).value as BackgroundOutput
    expect(first).toMatchObject({ text: 'a', cursor: 2, lostBytes: 0 })
    await reading.return()
    await sandbox.run('touch go1')
    const rest = await collect(command.output({ cursor: 1 }))
    expect(textOf(rest)).toBe('\u00e9b')
    expect(rest.at(-1)?.cursor).toBe(4)
    expect(await collect(command.output({ cursor: 4 }))).toEqual([])
  })

  it('prints without anybody listening, and what is not kept is told to the byte', async () => {
    const bytes = 4 * KEPT_BYTES
    const command = await sandbox.commands.start(`head -c ${bytes} /dev/zero | tr '\\0' x; echo end`)
    expect(await command.wait()).toMatchObject({ exitCode: 0 })
    const [first, ...rest] = await collect(command.output({ follow: false }))
    const kept = textOf(first === undefined ? [] : [first, ...rest])
    expect(first?.lostBytes).toBe(bytes + 4 - kept.length)
    expect(kept.length).toBeLessThanOrEqual(KEPT_BYTES)
    expect(kept).toMatch(/^x+end\n$/)
    expect(rest.every(({ lostBytes }) => lostBytes === 0)).toBe(true)
    expect((await command.info()).outputStart).toBe(first?.lostBytes)
  })

  it('is read on by a client whose connection was lost, without a gap and nothing twice', async () => {
    const proxy = await openProxy(join(dir, 'proxy.sock'), server.ready.socket)
    const remote = await Sandbox.connect(sandboxId, { server: `unix://${join(dir, 'proxy.sock')}` })
    const command = await remote.commands.start(`echo one; ${until('go2')}; echo two; exit 5`)
    const reading = command.output()
    const pieces = [(await reading.next()).value as BackgroundOutput]
    proxy.cut()
    await sandbox.run('touch go2')
    for await (const piece of reading) pieces.push(piece)
    expect(textOf(pieces)).toBe('one\ntwo\n')
    expect(await command.wait()).toMatchObject({ exitCode: 5 })
    remote.close()
    proxy.close()
  })

  it('ends by a signal, with all that came of it, and SIGKILL for what ignores it', async () => {
    const command = await sandbox.commands.start('trap "" TERM; (exec sleep 61.31) & echo up; sleep 61.31')
    await command.output().next()
    await command.kill()
    expect(await command.wait()).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
    expect((await sandbox.run('pgrep -f "[s]leep 61.31"')).stdout).toBe('')
    // Once more is no error here; on the wire it is told.
    await command.kill()
    const again = server.wire.commands.signalCommand({ sandboxId, commandId: command.id })
    expect(await refusal(again)).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'command_ended' })
  })

  it('gets the signal that is named', async () => {
    const command = await sandbox.commands.start(
      'trap "echo hup; exit 4" HUP; echo ready; while :; do sleep 0.02; done',
    )
    const reading = command.output()
    await reading.next()
    await command.kill('SIGHUP')
    expect(await command.wait()).toMatchObject({ exitCode: 4 })
    await reading.return()
  })

  it('is ended when it outruns its time', async () => {
    const command = await sandbox.commands.start('exec sleep 61.32', { timeoutMs: 50 })
    expect(await command.wait()).toMatchObject({ timedOut: true, signal: 'SIGTERM' })
  })

  it('goes on when its reader leaves, and ends with him only if that was asked for', async () => {
    const command = await sandbox.commands.start('echo up; exec sleep 61.33')
    const casual = command.output()
    await casual.next()
    await casual.return()
    expect((await command.info()).exit).toBeUndefined()
    const bound = command.output({ killOnLeave: true })
    await bound.next()
    await bound.return()
    expect(await command.wait()).toMatchObject({ signal: 'SIGTERM' })
  })

  it('that is waited for no more goes on', async () => {
    const command = await sandbox.commands.start('exec sleep 61.34')
    const abort = new AbortController()
    const waiting = command.wait({ signal: abort.signal })
    await command.info()
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'aborted' })
    expect((await command.info()).exit).toBeUndefined()
    await command.kill('SIGKILL')
    await command.wait()
  })

  it('ends with its sandbox, and can still be asked', async () => {
    const other = await Sandbox.create({ server: `unix://${server.ready.socket}`, codebase: sandbox.codebaseId })
    const command = await other.commands.start('echo last words; exec sleep 61.35')
    const reading = command.output()
    await reading.next()
    await other.stop()
    expect(await collect(reading)).toEqual([])
    expect(await command.wait()).toMatchObject({ sandboxEnded: true, exitCode: 137 })
    expect(textOf(await collect(command.output()))).toBe('last words\n')
    await other.kill()
  })
})

describe('what is refused, by its field', () => {
  const commandId = 'cmd_0000000000000000'

  it('a cursor beyond the output, and to end with a reader who does not follow', async () => {
    const { id } = await sandbox.commands.start('printf abc')
    await sandbox.commands.get(id).wait()
    const read = (more: object) =>
      collect(server.wire.commands.readCommandOutput({ sandboxId, commandId: id, ...more }))
    expect((await read({ cursor: 3n })).map(({ ended }) => ended?.exit?.exitCode)).toEqual([0])
    expect(await refusal(read({ cursor: 4n }))).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'cursor' })
    expect(await refusal(read({ killOnCancel: true }))).toMatchObject({ field: 'kill_on_cancel' })
  })

  it('what is no command, and one that is not there', async () => {
    const wire = server.wire.commands
    expect(await refusal(wire.startCommand({}))).toMatchObject({ field: 'request' })
    expect(await refusal(wire.startCommand({ request: { sandboxId } }))).toMatchObject({ field: 'command' })
    expect(await refusal(wire.getCommand({ sandboxId, commandId: 'x' }))).toMatchObject({ field: 'command_id' })
    expect(await refusal(wire.getCommand({ sandboxId, commandId }))).toMatchObject({ code: 'NOT_FOUND' })
    expect(await refusal(wire.signalCommand({ sandboxId, commandId, signal: 65 }))).toMatchObject({ field: 'signal' })
  })
})

describe('the command line', () => {
  async function croft(args: readonly string[], options: Options = {}) {
    const env = { CROFT_SERVER: `unix://${server.ready.socket}` }
    const done = await execa('node', [MAIN, ...args], { env, reject: false, stdin: 'ignore', ...options })
    return { exitCode: done.exitCode, stdout: String(done.stdout), stderr: String(done.stderr) }
  }

  it('starts, lists, shows, and ends as the command did', async () => {
    const started = await croft(['exec', '--background', sandboxId, '-c', 'echo out; echo err >&2; exit 7'])
    const id = started.stdout
    expect(id).toMatch(/^cmd_[0-9a-f]{16}$/)
    expect((await croft(['wait', sandboxId, id])).exitCode).toBe(7)
    expect(await croft(['logs', '-f', sandboxId, id])).toEqual({ exitCode: 0, stdout: 'out', stderr: 'err' })
    expect((await croft(['ps', sandboxId])).stdout).toMatch(new RegExp(`${id}  exited 7 .*echo out`))
  })

  it('ends one that runs', async () => {
    const { stdout: id } = await croft(['exec', '-b', sandboxId, '--', 'sleep', '61.36'])
    expect((await croft(['ps', sandboxId])).stdout).toMatch(new RegExp(`${id}  running .*sleep 61.36`))
    expect((await croft(['kill', '-s', 'INT', sandboxId, id])).exitCode).toBe(0)
    expect((await croft(['wait', sandboxId, id])).exitCode).toBe(130)
  })

  it('refuses what makes no sense, and says what to do', async () => {
    expect(await croft(['exec', '-b', '-t', sandboxId, '--', 'true'])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringMatching(/--tty.*--background/),
    })
    const bad = await croft(['kill', '-s', 'NONE', sandboxId, 'cmd_0000000000000000'])
    expect(bad).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('SIGTERM') })
  })
})

/** Passes connections on, and can cut them all. */
async function openProxy(at: string, to: string): Promise<{ cut(): void; close(): void }> {
  const open = new Set<Socket>()
  const proxy: NetServer = createServer((near) => {
    const far = connect(to)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => proxy.listen(at, resolve))
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  return {
    cut,
    close: () => {
      cut()
      proxy.close()
    },
  }
}
