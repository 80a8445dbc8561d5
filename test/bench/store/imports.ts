import { join } from 'node:path'
import { importDirectory } from '../../../fs-layer/store/import.ts'
import { Store } from '../../../fs-layer/store/store.ts'
import { runToEnd } from '../child.ts'
import type { Figure } from '../report/section.ts'
import { makeFolder } from '../service/folder.ts'
import type { Bench } from '../suite.ts'

const FILES = 10_000

/** A local folder becomes a version; beside it what `cp -a` and a sync of the same folder take. */
export async function measureImports(bench: Bench): Promise<Figure[]> {
  const files = bench.quick ? 500 : FILES
  const folder = makeFolder(join(bench.scratch, 'folder'), files)
  const samples = { cold: [] as number[], known: [] as number[], copy: [] as number[] }
  for (let run = 0; run < bench.runs; run++) {
    bench.progress.show(`taking a folder into the store: run ${run + 1} of ${bench.runs}`)
    await using store = await Store.open({ dir: join(bench.scratch, `store-${run}`) })
    for (const each of [samples.cold, samples.known]) {
      const beganMs = performance.now()
      await importDirectory(store, folder, { signal: bench.signal })
      each.push(performance.now() - beganMs)
    }
    const copy = join(bench.scratch, `copy-${run}`)
    const beganMs = performance.now()
    await runToEnd('sh', ['-c', 'cp -a "$0" "$1" && sync --file-system "$1"', folder, copy], { signal: bench.signal })
    samples.copy.push(performance.now() - beganMs)
  }
  const cold = `take in ${files} files, none known`
  const known = `take in ${files} files, all known`
  return [
    { name: cold, of: 'croft', unit: 'ms', samples: samples.cold },
    { name: cold, of: 'cp -a and sync', unit: 'ms', samples: samples.copy },
    { name: known, of: 'croft', unit: 'ms', samples: samples.known },
  ]
}
