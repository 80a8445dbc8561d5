import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

/** Without a time and without a name. */
export function gzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  return through(source, createGzip())
}

/**
 * By the program `zstd`, for Node 20 has it not: see `zstdIsThere`. One thread, so that the same bytes come out whatever
 * the machine; another version of it may give others.
 */
export async function* zstd(source: AsyncIterable<Buffer>, signal?: AbortSignal): AsyncGenerator<Buffer> {
  yield* throughProgram(source, ['--single-thread', '-3', '-q', '-c'], signal)
}

/** Whether the program can be run; looked for once, for the answer is told to everybody who connects. */
export function zstdIsThere(): boolean {
  found ??= spawnSync('zstd', ['--version'], { stdio: 'ignore', timeout: PROBE_MS }).status === 0
  return found
}

let found: boolean | undefined
const PROBE_MS = 10_000

export async function* through(source: AsyncIterable<Buffer>, transform: Duplex): AsyncGenerator<Buffer> {
  const whole = pipeline(Readable.from(source), transform)
  // It is awaited below; until then a failure is also the stream's own.
  whole.catch(() => undefined)
  for await (const chunk of transform) yield chunk
  await whole
}

/** The program zstd. Where that fails, the error has the code `ZSTD_FAILED`. The signal ends it also where it does nothing. */
export async function* throughProgram(
  source: AsyncIterable<Buffer>,
  args: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  signal?.throwIfAborted()
  const child = spawn('zstd', args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const said: Buffer[] = []
  child.stderr.on('data', (data: Buffer) => said.push(data))
  const exited = once(child, 'close')
  exited.catch(() => undefined)
  const fed = pipeline(Readable.from(source), child.stdin)
  // What breaks the source ends the program, so that nobody takes what is there for the whole of it.
  let broken: { error: unknown } | undefined
  fed.catch((error: unknown) => {
    broken = { error }
    child.kill('SIGKILL')
  })
  const kill = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', kill, { once: true })
  try {
    for await (const chunk of child.stdout) yield chunk
    const [code] = await exited
    signal?.throwIfAborted()
    if (broken !== undefined) throw broken.error
    if (code !== 0) {
      const text = `zstd ended with ${code}: ${Buffer.concat(said).toString().trim()}`
      throw Object.assign(new Error(text), { code: 'ZSTD_FAILED' })
    }
  } finally {
    signal?.removeEventListener('abort', kill)
    child.kill('SIGKILL')
  }
}
