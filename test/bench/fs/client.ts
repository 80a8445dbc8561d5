import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runToEnd } from '../child.ts'

/** The compiled client (see `client.c`). */
export interface Client {
  readonly path: string
  /** Milliseconds of the wall clock that a shell command takes in a directory. Rejects with a `CommandError`. */
  time(dir: string, command: string): Promise<number>
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
      const [wallNs = ''] = (await runToEnd(path, ['time', dir, command], { signal })).split(' ')
      return Number(wallNs) / 1e6
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
