import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type OutputEvent, Sandbox, type Server } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let server: Server
let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  ;({ server, sandbox } = fixture)
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('a command', () => {
  test('gives back its output, apart, and its exit code', async () => {
    const result = await sandbox.run('echo out; echo err >&2; exit 3')
    expect(result).toMatchObject({ exitCode: 3, stdout: 'out\n', stderr: 'err\n', truncated: false })
    expect(result.signal).toBeUndefined()
    expect(result.durationMs).toBeGreaterThan(0)
  })

  test('that a signal ended says which', async () => {
    expect(await sandbox.run('kill -KILL $$')).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
  })

  test('with check throws an error of the shape of the result', async () => {
    await expect(sandbox.run('echo no >&2; exit 2', { check: true })).rejects.toMatchObject({
      code: 'command_failed',
      exitCode: 2,
      stderr: 'no\n',
      message: expect.stringContaining('exited with code 2: no'),
    })
  })

  test('as a list of words meets no shell', async () => {
    const { stdout } = await sandbox.run(['printf', '%s|', '$HOME', 'a b', '*'])
    expect(stdout).toBe('$HOME|a b|*|')
  })

  test('has the environment and directory it was given, and nothing of this process', async () => {
    process.env['CROFT_TEST_SECRET'] = 'mine'
    const { stdout } = await sandbox.run('echo $GREETING; pwd; env', { env: { GREETING: 'hello' }, cwd: 'src' })
    delete process.env['CROFT_TEST_SECRET']
    expect(stdout).toMatch(/^hello\n\/workspace\/src\n/)
    expect(stdout).not.toContain('CROFT_TEST_SECRET')
  })

  test.each<[string, string | Uint8Array | AsyncIterable<string | Uint8Array>]>([
    ['text', 'ünï'],
    ['bytes', Buffer.from('ünï')],
    ['a stream', Readable.from([Buffer.from('ün'), 'ï'])],
  ])('takes %s as its input', async (_kind, stdin) => {
    expect((await sandbox.run('cat', { stdin })).stdout).toBe('ünï')
  })

  test('takes 5 MB of input and gives them back whole', async () => {
    const stdin = Buffer.alloc(5_000_000, 'croft\0ÿ')
    const { stdoutBytes } = await sandbox.run('cat', { stdin })
    expect(sha256(stdoutBytes)).toBe(sha256(stdin))
  })

  test('that does not read its input ends all the same', async () => {
    expect(await sandbox.run('exit 4', { stdin: Buffer.alloc(5_000_000) })).toMatchObject({ exitCode: 4 })
  })

  test('that outruns its time is killed, and the error has what it said', async () => {
    const error = await sandbox.run('echo begun; sleep 60', { timeoutMs: 300 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'command_timeout', result: { stdout: 'begun\n', exitCode: 124 } })
  })

  test('that is aborted is ended inside too', async () => {
    const controller = new AbortController()
    const running = sandbox.commands.run('echo $$; exec sleep 1000', {
      signal: controller.signal,
      onStdout: () => controller.abort('enough'),
    })
    await expect(running).rejects.toMatchObject({ code: 'aborted', cause: 'enough' })
    // Ends when no such process is left; a process that stayed makes the test run out of time.
    await sandbox.run('while pgrep -f "[s]leep 1000" >/dev/null; do :; done')
  })

  test('keeps what fits maxOutputBytes, to the byte, and says that there was more', async () => {
    const six = await sandbox.run('printf 123456', { maxOutputBytes: 6 })
    expect(six).toMatchObject({ stdout: '123456', truncated: false })
    const five = await sandbox.run('printf 123456', { maxOutputBytes: 5 })
    expect(five).toMatchObject({ stdout: '12345', truncated: true })
  })

  test('runs as the one user that there is, and is refused as any other', async () => {
    expect((await sandbox.run('id -un', { user: 'croft' })).stdout).toBe('croft\n')
    await expect(sandbox.run('id', { user: 'root' })).rejects.toMatchObject({ code: 'unsupported' })
  })

  test('an empty one is refused', async () => {
    await expect(sandbox.run('')).rejects.toMatchObject({ code: 'invalid_argument', field: 'command' })
  })

  test('in a sandbox that is gone is NotFoundError, in a stopped one NotRunningError', async () => {
    const other = await Sandbox.create({ server, codebase: sandbox.codebaseId, start: false })
    await expect(other.run('true')).rejects.toMatchObject({ code: 'not_running' })
    await other.kill()
    await expect(other.run('true')).rejects.toMatchObject({ code: 'not_found' })
    await other.kill()
  })
})

describe('output on its way', () => {
  test('is iterated over in order, and the result comes too', async () => {
    const running = sandbox.commands.run('echo one; sleep 0.05; echo two >&2')
    const events: OutputEvent[] = []
    for await (const event of running) events.push(event)
    expect(events.map(({ type, text }) => [type, text])).toEqual([
      ['stdout', 'one\n'],
      ['stderr', 'two\n'],
    ])
    expect((await running).exitCode).toBe(0)
  })

  test('is there for who begins to iterate when the command has ended', async () => {
    const running = sandbox.commands.run('echo late')
    await running
    let text = ''
    for await (const event of running) text += event.text
    expect(text).toBe('late\n')
  })

  test('a loop that is left ends the command', async () => {
    const running = sandbox.commands.run('yes')
    for await (const event of running) if (event.data.length > 0) break
    await expect(running).rejects.toMatchObject({ code: 'aborted' })
  })

  test('a failure comes out of the loop, and of nowhere else', async () => {
    const loop = async () => {
      for await (const event of sandbox.commands.run('exit 5', { check: true })) expect(event).toBeDefined()
    }
    await expect(loop()).rejects.toMatchObject({ exitCode: 5 })
  })

  test('goes to callbacks, a character that was cut in two as one', async () => {
    let text = ''
    const half = `printf '\\303'; sleep 0.05; printf '\\274'`
    await sandbox.run(half, {
      onStdout: (piece) => {
        text += piece
      },
    })
    expect(text).toBe('ü')
  })

  test('of 100 MB passes through a slow reader with little of it in memory', async () => {
    const bytes = 100_000_000
    let seen = 0
    const before = process.memoryUsage().rss
    let most = before
    for await (const { data } of sandbox.commands.run(`head -c ${bytes} /dev/zero`, { maxOutputBytes: 0 })) {
      seen += data.length
      most = Math.max(most, process.memoryUsage().rss)
    }
    expect(seen).toBe(bytes)
    expect(most - before).toBeLessThan(80_000_000)
  })
})

describe('a session', () => {
  test('remembers its directory and variables, and streams', async () => {
    await using session = await sandbox.session({ env: { A: '1' } })
    await session.run('cd src; B=2')
    expect((await session.run('pwd; echo $A$B')).stdout).toBe('/workspace/src\n12\n')
    const pieces: string[] = []
    for await (const { text } of session.run('echo streamed')) pieces.push(text)
    expect(pieces.join('')).toBe('streamed\n')
  })

  test('that is closed is refused, and closing it twice is no error', async () => {
    const session = await sandbox.session()
    await session.close()
    await session.close()
    await expect(session.run('true')).rejects.toMatchObject({ code: 'failed_precondition' })
  })
})

describe('a terminal', () => {
  test('is one inside, of the size that was asked for, and takes keys', async () => {
    await using pty = sandbox.pty({
      command: 'test -t 0 && stty size && read line && echo "got $line"',
      rows: 33,
      columns: 77,
    })
    let text = ''
    for await (const piece of pty) {
      text += Buffer.from(piece).toString()
      if (text.includes('33 77') && !text.includes('keys')) pty.write('keys\n')
    }
    expect(text).toContain('got keys')
    expect(await pty.exited).toEqual({ exitCode: 0 })
  })

  test('tells the command when its size changes', async () => {
    await using pty = sandbox.pty({
      command: `trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done`,
    })
    let text = ''
    let resized = false
    for await (const piece of pty) {
      text += Buffer.from(piece).toString()
      if (text.includes('ready') && !resized) {
        resized = true
        pty.resize({ rows: 40, columns: 100 })
      }
    }
    expect(text).toContain('40 100')
  })
})

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
