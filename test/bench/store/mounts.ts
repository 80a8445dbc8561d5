import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openFsLayer } from '../../../fs-layer/index.ts'
import type { Rule } from '../../../fs-layer/policy/rule.ts'
import type { Hash } from '../../../fs-layer/store/objects.ts'
import { Store } from '../../../fs-layer/store/store.ts'
import type { FsLayer } from '../../../fs-layer/worker/api.ts'
import type { Figure } from '../report/section.ts'
import type { Bench } from '../suite.ts'
import { makeBase } from './bases.ts'

const RULES: readonly Rule[] = [{ pattern: '**', type: 'glob', level: 'write' }]
const SMALL_FILES = 100
const LARGE_FILES = 100_000
const UNTOUCHED_MOUNTS = 200
const TARGET_MOUNT_BYTES = 100 * 1024

/** Until the kernel answers at the mount point; and what a mount takes that nobody looks at. */
export async function measureMounts(bench: Bench): Promise<Figure[]> {
  await using store = await Store.open({ dir: join(bench.scratch, 'mount-store') })
  bench.progress.show('making versions to mount')
  const largeFiles = bench.quick ? 5000 : LARGE_FILES
  const bases = { small: await makeBase(store, SMALL_FILES), large: await makeBase(store, largeFiles) }
  await using layer = await openFsLayer({ storeDir: store.dir })
  const mount = mounter(bench.scratch, layer)

  const samples = { small: [] as number[], large: [] as number[] }
  const rounds = bench.quick ? 3 : bench.runs * 10
  for (let round = 0; round < rounds; round++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`mounts: ${round + 1} of ${rounds}`)
    for (const size of ['small', 'large'] as const) {
      const beganMs = performance.now()
      const mounted = await mount(bases[size])
      samples[size].push(performance.now() - beganMs)
      await mounted.close()
    }
  }

  const count = bench.quick ? 5 : UNTOUCHED_MOUNTS
  const beforeBytes = residentBytes()
  for (let at = 0; at < count; at++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`mounts that nobody looks at: ${at + 1} of ${count}`)
    // They end with the layer.
    await mount(bases.large)
  }
  const eachBytes = (residentBytes() - beforeBytes) / count
  return [
    { name: `mount of ${SMALL_FILES} files`, of: 'croft', unit: 'ms', samples: samples.small },
    { name: `mount of ${largeFiles} files`, of: 'croft', unit: 'ms', samples: samples.large },
    {
      name: `memory of an untouched mount of ${largeFiles} files`,
      of: 'croft',
      unit: 'bytes',
      samples: [eachBytes],
      target: { atMost: TARGET_MOUNT_BYTES },
    },
  ]
}

function mounter(scratch: string, layer: FsLayer) {
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  let count = 0
  return async (base: Hash) => {
    const id = `mount-${++count}`
    const target = join(scratch, id)
    mkdirSync(target)
    const view = await layer.openView({ id, base, deltaDir: join(scratch, `${id}-delta`), rules: RULES, owner })
    await view.mount(target)
    return view
  }
}

/** Of this process, with the filesystem's thread in it. */
function residentBytes(): number {
  const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kib) * 1024
}
