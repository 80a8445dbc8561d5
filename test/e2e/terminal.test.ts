import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { type AgentAlone, startAgentAlone } from '../fixtures/agent-alone.ts'
import { OnTerminal } from '../fixtures/on-terminal.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let dir: string
let server: ServerProcess
let codebaseId: string
let sandboxId: string
let alone: AgentAlone

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir)
  codebaseId = (await server.wire.codebases.createCodebase({ name: 'project' })).id
  sandboxId = await newSandbox()
})

afterAll(async () => {
  if (server === undefined) return
  await server.end('SIGTERM')
  removeServerDir(dir)
})

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  alone = startAgentAlone()
})

afterEach(async () => {
  alone?.agent.close()
  await alone?.ended
})

const newSandbox = async () =>
  (await server.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })).id

/** A shell on a terminal here, in which `croft` is run: it shows how it leaves the terminal behind. */
async function croftOn(rows: number, args: string): Promise<OnTerminal> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    TERM: 'vt220',
    CROFT_SERVER: `unix://${server.ready.socket}`,
  }
  const croft = `sh -c 'echo "pid $$"; exec "$@"' sh "${process.execPath}" "${MAIN}" ${args}`
  const line = `before=$(stty -g); ${croft}; echo "code $?"; [ "$(stty -g)" = "$before" ] && echo restored`
  return OnTerminal.start(alone.agent, ['sh', '-c', line], env, rows)
}

/** Runs a line in the shell inside, and resolves with what comes after its echo. */
const QUIET = "PS1='' PS2=''; stty -echo; echo rea''dy\r"

describe('croft shell', () => {
  it('is a shell on a terminal of the size of this one, also when that changes', async () => {
    const screen = await croftOn(31, `shell ${sandboxId}`)
    screen.type(QUIET)
    await screen.shows(/ready/)
    screen.type('stty size; tty; echo $TERM; pwd\r')
    await screen.shows(/31 80\r\n\/dev\/pts\/\d+\r\nvt220\r\n\/workspace\r\n/)
    screen.process.resize(40, 99)
    screen.type('while [ "$(stty size)" != "40 99" ]; do :; done; echo chan""ged\r')
    await screen.shows(/changed/)
    screen.type('exit 3\r')
    await screen.shows(/code 3\r\nrestored/)
  })

  it('has Ctrl-C for what runs in it, and Ctrl-D for its end', async () => {
    const screen = await croftOn(24, `shell ${sandboxId}`)
    screen.type(QUIET)
    await screen.shows(/ready/)
    screen.type('echo st""ep; sleep 61.41; echo in""terrupted $?\r')
    await screen.shows(/step/)
    // The shell makes the program the foreground before it waits for it: that is seen from outside.
    const pgrep = ['pgrep', '--exact', '--full', 'sleep 61.41'].map((word) => Buffer.from(word))
    await expect
      .poll(async () => (await server.wire.sandboxes.exec({ sandboxId, argv: pgrep })).exitCode, { timeout: 10_000 })
      .toBe(0)
    screen.type('\u0003')
    screen.type('echo al""ive\r')
    await screen.shows(/alive/)
    expect((await server.wire.sandboxes.exec({ sandboxId, argv: pgrep })).exitCode).toBe(1)
    screen.type('\u0004')
    await screen.shows(/code \d+\r\nrestored/)
  })

  it('passes keys and what a full-screen program draws through as they are, and bracketed paste', async () => {
    const program =
      "stty raw -echo; printf '\\033[?1049h\\033[?2004h\\033[2;3Hgo'; dd bs=1 count=23 2>/dev/null | od -An -tx1 -w23; printf '\\033[?2004l\\033[?1049l'"
    const screen = await croftOn(24, `exec -t ${sandboxId} -c '${program.replaceAll("'", "'\\''")}'`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    await screen.shows(/\u001b\[\?1049h\u001b\[\?2004h\u001b\[2;3Hgo/)
    // An arrow, a pasted line end and tab, Ctrl-C, Ctrl-Z, Ctrl-S and a byte that is no UTF-8.
    screen.type('\u001b[A\u001b[200~a\r\t\u001b[201~\u0003\u001a\u0013\u0011\u00ff')
    await screen.shows(/1b 5b 41 1b 5b 32 30 30 7e 61 0d 09 1b 5b 32 30 31 7e 03 1a 13 11 ff/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    await screen.shows(/\u001b\[\?2004l\u001b\[\?1049l[\s\S]*code 0\r\nrestored/)
  })

  it.each(['TERM', 'HUP', 'INT'])('puts the terminal back when SIG%s ends it', async (signal) => {
    const screen = await croftOn(24, `exec -t ${sandboxId} -c 'stty raw; echo up; exec sleep 61.42'`)
    await screen.shows(/up/)
    const [, pid] = await screen.shows(/pid (\d+)/)
    process.kill(Number(pid), `SIG${signal}`)
    const [, code] = await screen.shows(/code (\d+)\r\nrestored/)
    expect(Number(code)).toBe({ HUP: 129, INT: 130, TERM: 143 }[signal])
  })

  it('puts the terminal back when its sandbox goes, and says why', async () => {
    const other = await newSandbox()
    const screen = await croftOn(24, `shell ${other}`)
    screen.type(QUIET)
    await screen.shows(/ready/)
    await server.wire.sandboxes.destroySandbox({ sandboxId: other })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    await screen.shows(/\u001b\[\?1049l[\s\S]*croft: [\s\S]*code \d+\r\nrestored/)
  })

  it('runs what is piped in without a terminal, and ends as that does', async () => {
    const screen = await OnTerminal.start(
      alone.agent,
      [
        'sh',
        '-c',
        `echo 'echo pi""ped; tty; exit 6' | "${process.execPath}" "${MAIN}" shell ${sandboxId}; echo "code $?"`,
      ],
      { PATH: process.env['PATH'] ?? '', HOME: dir, CROFT_SERVER: `unix://${server.ready.socket}` },
    )
    await screen.shows(/piped\r\nnot a tty\r\ncode 6/)
  })

  it('of what is no sandbox says what to give instead', async () => {
    const screen = await croftOn(24, 'shell nothing')
    await screen.shows(/sandbox[\s\S]*croft ls[\s\S]*code 125\r\nrestored/)
  })
})

describe('a terminal of the SDK', () => {
  it('is written to, resized, ended and iterated over', async () => {
    await using sandbox = await Sandbox.connect(sandboxId, { server: `unix://${server.ready.socket}` })
    await using pty = sandbox.pty({ command: 'stty -echo; echo ready; cat; stty size', rows: 11, columns: 22 })
    let shown = ''
    for await (const piece of pty) {
      const before = shown
      shown += Buffer.from(piece).toString()
      if (!before.includes('ready') && shown.includes('ready')) {
        pty.resize({ rows: 12, columns: 23 })
        pty.write('one\n')
        pty.end()
      }
    }
    expect(shown).toBe('ready\r\none\r\n12 23\r\n')
    expect(await pty.exited).toEqual({ exitCode: 0 })
  })

  it.each([
    [{ rows: 0, columns: 80 }, 'start.terminal.rows'],
    [{ rows: 24, columns: 65_536 }, 'start.terminal.columns'],
  ])('of the size %j is refused by its field', async (terminal, field) => {
    const call = server.wire.sandboxes.execInteractive()
    const request = { sandboxId, command: 'true' }
    call.send({ input: { case: 'start', value: { request, terminal } } })
    expect(await refusal(call.next())).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})
