import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type CommandResult, InvalidArgumentError, ResourceExhaustedError, Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const PRINTED = 1000
const LIMITS = {
  ...{ fileBytes: 8192, tmpBytes: 1 << 20, openFiles: 100, outputBytes: PRINTED },
  ...{ runTimeMs: 60_000, commands: 2, sessions: 1 },
}

let fixture: SdkSandbox
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox({ resources: LIMITS })
  sandbox = fixture.sandbox
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('a sandbox with limits', () => {
  it('is told to have them', async () => {
    expect((await sandbox.info()).resources).toMatchObject(LIMITS)
  })

  it.each(['build', '/tmp'])('has no file in %s that is larger than a file may be', async (place) => {
    const write = async (bytes: number) =>
      await sandbox.run(`head -c ${bytes} /dev/zero > ${place}/f; stat -c %s ${place}/f`)
    expect(await write(8192)).toMatchObject({ stdout: '8192\n', stderr: '' })
    expect(await write(8193)).toMatchObject({ stdout: '8192\n', stderr: expect.stringMatching(/size limit/i) })
    expect((await sandbox.run(`truncate -s 8193 ${place}/f`)).exitCode).not.toBe(0)
  })

  it('has a /tmp that holds exactly its size', async () => {
    const fill =
      'for i in $(seq 150); do head -c 8192 /dev/zero > /tmp/$i || break; done; cat /tmp/* | wc -c; rm /tmp/*'
    expect((await sandbox.run(fill)).stdout).toBe(`${1 << 20}\n`)
  })

  it('lets each process have so many files open', async () => {
    expect((await sandbox.run('ulimit -Hn')).stdout).toBe('100\n')
  })

  it('gets all that a command prints at the limit, and kills one that prints a byte more', async () => {
    const print = (bytes: number) => `head -c ${bytes - 1} /dev/zero; printf x >&2`
    const { stdout, stderr } = await sandbox.run(print(PRINTED))
    expect([stdout.length, stderr]).toEqual([PRINTED - 1, 'x'])
    await expect(sandbox.run(print(PRINTED + 1))).rejects.toThrow(ResourceExhaustedError)
    await expect(sandbox.run('yes')).rejects.toThrow('printed more than 1000 bytes')
    expect((await sandbox.run('pgrep -c yes')).stdout).toBe('0\n')
  })

  it('interrupts a command in a session that prints more, and the session lives on', async () => {
    await using session = await sandbox.session()
    expect((await session.run(`head -c ${PRINTED} /dev/zero`)).stdout).toHaveLength(PRINTED)
    await expect(session.run('yes')).rejects.toThrow(ResourceExhaustedError)
    expect((await session.run('echo on')).stdout).toBe('on\n')
    await expect(sandbox.session()).rejects.toThrow(ResourceExhaustedError)
  })

  it('refuses a timeout that is longer than a command may run, by its name', async () => {
    expect((await sandbox.run('true', { timeoutMs: LIMITS.runTimeMs })).exitCode).toBe(0)
    await expect(sandbox.run('true', { timeoutMs: LIMITS.runTimeMs + 1 })).rejects.toThrow(InvalidArgumentError)
  })

  it('runs so many commands at one time', async () => {
    const stop = new AbortController()
    const held: Promise<CommandResult | Error>[] = []
    const begun = Array.from({ length: LIMITS.commands }, () => {
      return new Promise<void>((resolve, reject) => {
        const running = sandbox.run('echo up; exec sleep 600', { signal: stop.signal, onStdout: () => resolve() })
        running.catch(reject)
        held.push(running.catch((error: Error) => error))
      })
    })
    await Promise.all(begun)
    await expect(sandbox.run('true')).rejects.toThrow(ResourceExhaustedError)
    stop.abort()
    await Promise.all(held)
  })
})

describe('a sandbox that cannot be', () => {
  const ask = (resources: object) => Sandbox.fromLocal(fixture.project, { server: fixture.server, resources })

  it.each([
    ['memory_bytes', { memoryBytes: (16 << 20) - 1 }],
    ['cpu_quota', { cpus: 0.0099 }],
    ['cpu_shares', { cpuShares: 1 }],
    ['pids_limit', { pids: 2 ** 23 }],
    ['file_bytes', { fileBytes: 4095 }],
    ['tmp_bytes', { tmpBytes: 65_535 }],
    ['open_files', { openFiles: 63 }],
    ['commands', { commands: 257 }],
    ['sessions', { sessions: 65 }],
  ])('is refused by the name of the field: %s', async (field, resources) => {
    await expect(ask(resources)).rejects.toThrow(`resources.${field} must be at`)
  })
})

describe('a sandbox whose bandwidth is limited', () => {
  const RATE = 1 << 19
  const limited = (io: object) =>
    Sandbox.fromLocal(fixture.project, { server: fixture.server, preset: 'full-access', resources: { io } })

  it('writes no faster, and is stopped without its writes having to be waited for at that rate', async () => {
    await using slow = await limited({ writeBytesPerSecond: RATE })
    const beganMs = performance.now()
    await slow.run(`head -c ${RATE} /dev/zero > written; sync written`, { check: true })
    // A tenth of a second is what an idle sandbox has saved.
    expect(performance.now() - beganMs).toBeGreaterThan(900)
    // A minute and more, at that rate.
    await slow.run(`head -c ${RATE * 90} /dev/zero > left & sleep 0.2`)
    const { status } = await slow.stop()
    expect(status).toBe('stopped')
  })

  it('reads no faster', async () => {
    await using slow = await limited({ readBytesPerSecond: RATE })
    await slow.files.write('big', Buffer.alloc(RATE))
    const beganMs = performance.now()
    await slow.run('cat big > /dev/null', { check: true })
    expect(performance.now() - beganMs).toBeGreaterThan(900)
  })

  it('is refused beyond the edge, by the name of the field', async () => {
    await expect(limited({ readBytesPerSecond: 65_535 })).rejects.toThrow(
      'resources.io.read_bytes_per_second must be at least 65536',
    )
  })
})

it('a command that names no timeout is ended when it has run for as long as it may', async () => {
  await using short = await Sandbox.fromLocal(fixture.project, {
    server: fixture.server,
    resources: { runTimeMs: 100 },
  })
  await expect(short.run('sleep 600')).rejects.toMatchObject({ code: 'command_timeout' })
  await using session = await short.session()
  await expect(session.run('sleep 600')).rejects.toMatchObject({ code: 'command_timeout' })
})
