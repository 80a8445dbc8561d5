import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox } from '../../../sdk/index.ts'
import type { Figure } from '../report/section.ts'
import type { Bench } from '../suite.ts'
import { makeFolder } from './folder.ts'
import { startServerProcess } from './server-process.ts'

const UPLOAD_FILES = 2000
const TARGET_COLD_MS = 1500
const TARGET_KNOWN_MS = 150

/** `fromLocal` of one folder by a client and to a server that know nothing, then once more. */
export async function measureUploads(bench: Bench): Promise<Figure[]> {
  const folder = makeFolder(join(bench.scratch, 'project'), bench.quick ? 200 : UPLOAD_FILES)
  age(folder)
  const cold: number[] = []
  const known: number[] = []
  const before = process.env['XDG_CACHE_HOME']
  try {
    for (let run = 0; run < bench.runs; run++) {
      bench.signal.throwIfAborted()
      bench.progress.show(`fromLocal: run ${run + 1} of ${bench.runs}`)
      const home = join(bench.scratch, `upload-${run}`)
      // Where the client keeps the hashes it knows.
      process.env['XDG_CACHE_HOME'] = join(home, 'cache')
      await using running = await startServerProcess(home)
      for (const samples of [cold, known]) {
        const beganMs = performance.now()
        await using _ = await Sandbox.fromLocal(folder, { server: running.server, preset: 'development', start: false })
        samples.push(performance.now() - beganMs)
      }
    }
  } finally {
    if (before === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = before
  }
  const name = `fromLocal of ${bench.quick ? 200 : UPLOAD_FILES} files`
  return [
    { name: `${name}, nothing known`, of: 'croft', unit: 'ms', samples: cold, target: { atMost: TARGET_COLD_MS } },
    { name: `${name}, everything known`, of: 'croft', unit: 'ms', samples: known, target: { atMost: TARGET_KNOWN_MS } },
  ]
}

/** The hashes of files that have just been written are not remembered, and a project's files are older. */
function age(folder: string): void {
  const hourAgo = Date.now() / 1000 - 3600
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    utimesSync(join(folder, path), hourAgo, hourAgo)
  }
}
