import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runToEnd } from '../child.ts'

/** Milliseconds. */
export interface Timing {
  readonly wall: number
  /** Of the command and all that it started, in the kernel too. */
  readonly processor: number
}

/** The compiled client (see `client.c`). */
export interface Client {
  readonly path: string
  /** What a shell command takes in a directory. Rejects with a `CommandError`. */
  time(dir: string, command: string): Promise<Timing>
  /** Nanoseconds of each single operation. */
  micro(dir: string, count: number): Promise<Map<string, number>>
}

/** Compiles it into `scratch`. */
export async function buildClient(scratch: string, signal: AbortSignal): Promise<Client> {
  const path = join(scratch, 'client')
  const source = join(repositoryRoot(), 'test/bench/fs/client.c')
  // Interrupted, the compiler leaves its intermediate files where it put them.
  const env = { ...process.env, TMPDIR: scratch }
  await runToEnd('cc', ['-O2', '-o', path, source], { signal, env })
  return {
    path,
    async time(dir, command) {
      const [wall = 0, user = 0, system = 0] = (await runToEnd(path, ['time', dir, command], { signal }))
        .split(' ')
        .map((ns) => Number(ns) / 1e6)
      return { wall, processor: user + system }
    },
    async micro(dir, count) {
      const lines = (await runToEnd(path, ['micro', dir, String(count)], { signal })).trim().split('\n')
      return new Map(lines.map((line) => line.split(' ')).map(([name = '', ns = '']) => [name, Number(ns)]))
    },
  }
}

/** Where the sources are: this file runs from `dist/`, its C beside it does not. */
export function repositoryRoot(): string {
  const here = fileURLToPath(new URL('../../../', import.meta.url))
  return here.endsWith('/dist/') ? join(here, '..') : here
}
