import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { OPEN_FILES_MAX } from '../../../fs-layer/delta/limits.ts'
import { OpenFiles } from '../../../fs-layer/delta/open-files.ts'
import { CAPABILITIES } from '../../../fs-layer/device/capabilities.ts'
import type { Device } from '../../../fs-layer/device/device.ts'
import { compilePolicy } from '../../../fs-layer/policy/policy.ts'
import { type Filesystem, ROOT_NODE } from '../../../fs-layer/protocol/filesystem.ts'
import type { Hash } from '../../../fs-layer/store/objects.ts'
import { StoreReader } from '../../../fs-layer/store/reader.ts'
import { OpenView } from '../../../fs-layer/view/open-view.ts'
import type { Bench } from '../suite.ts'
import { logToStderr, OWNER, RULES, storeDirOf } from './served-views.ts'

/** Microseconds of processor time for one call of a view, by call and by whether it was noted. */
export type CallResult = Map<string, Map<'with' | 'without', number[]>>

const CALLER = { ...OWNER, pid: 1 }
const BLOCK = Buffer.alloc(4096)

/**
 * The calls that the kernel would make, made here: without the kernel between, and in processor time, what it costs to note
 * them shows on a machine that is shared.
 */
export async function measureCalls(bench: Bench, base: Hash, home: string): Promise<CallResult> {
  const store = await StoreReader.open({ dir: storeDirOf(home) })
  const files = new OpenFiles({ maxFiles: OPEN_FILES_MAX })
  const result: CallResult = new Map()
  try {
    for (let run = 0; run < bench.runs; run++) {
      for (const how of run % 2 === 0 ? WAYS : WAYS.toReversed()) {
        bench.signal.throwIfAborted()
        bench.progress.show(`calls of a view ${how} notes, run ${run + 1} of ${bench.runs}`)
        const deltaDir = join(bench.scratch, `calls-${how}`)
        const [filesystem, view] = await openFilesystem(deltaDir, { base, store, files, observed: how === 'with' })
        for (const [name, us] of timeCalls(filesystem, bench.quick ? 100 : 10_000)) {
          const byWay = result.get(name) ?? new Map<'with' | 'without', number[]>()
          result.set(name, byWay)
          byWay.set(how, [...(byWay.get(how) ?? []), us])
        }
        await view[Symbol.asyncDispose]()
        rmSync(deltaDir, { recursive: true })
      }
    }
  } finally {
    files[Symbol.dispose]()
    await store[Symbol.asyncDispose]()
  }
  return result
}

const WAYS = ['without', 'with'] as const

async function openFilesystem(
  deltaDir: string,
  parts: { base: Hash; store: StoreReader; files: OpenFiles; observed: boolean },
): Promise<[Filesystem, OpenView]> {
  const { base, store, files, observed } = parts
  const options = {
    name: 'calls',
    base,
    deltaDir,
    policy: compilePolicy(RULES),
    owner: OWNER,
    quota: {},
    statfs,
    observed,
  }
  const view = await OpenView.open(options, { store, files, log: logToStderr })
  const mounted: { filesystem?: Filesystem } = {}
  await view.mount(holding(mounted), deltaDir, true)
  if (mounted.filesystem === undefined) throw new Error('the view was not mounted')
  return [mounted.filesystem, view]
}

/** Each for `count` times, in directories three levels deep, as in a project. */
function* timeCalls(filesystem: Filesystem, count: number): Generator<[string, number]> {
  let directory = ROOT_NODE
  for (const name of ['croft-a', 'croft-b', 'croft-c'])
    directory = filesystem.mkdir(CALLER, directory, name, 0o755).node
  const file = filesystem.create(CALLER, directory, 'file', 0o644, 0).node
  const flags = { killSuidgid: false }
  const calls: [string, (at: number) => void][] = [
    ['create', (at) => void filesystem.create(CALLER, directory, `n${at}`, 0o644, 0)],
    ['lookup', (at) => void filesystem.lookup(CALLER, directory, `n${at}`)],
    ['write 4 KiB', (at) => void filesystem.write(CALLER, file, (at % 4) * 4096, BLOCK, flags)],
    ['read 4 KiB', (at) => void filesystem.read(CALLER, file, (at % 4) * 4096, 4096, BLOCK, 0)],
    ['getattr', () => void filesystem.getattr(CALLER, file)],
    ['chmod', (at) => void filesystem.setattr(CALLER, file, { mode: at % 2 === 0 ? 0o644 : 0o600 })],
    ['rename', (at) => filesystem.rename(CALLER, directory, `n${at}`, directory, `r${at}`, 0)],
    ['unlink', (at) => filesystem.unlink(CALLER, directory, `r${at}`)],
  ]
  for (const [name, call] of calls) {
    const before = process.cpuUsage()
    for (let at = 0; at < count; at++) call(at)
    const { user, system } = process.cpuUsage(before)
    yield [name, (user + system) / count]
  }
}

/** Mounts nothing: the calls are made here. */
function holding(mounted: { filesystem?: Filesystem }): Device {
  const nothing = async () => undefined
  return {
    name: 'stream',
    capabilities: CAPABILITIES.stream,
    async mount(filesystem, target) {
      mounted.filesystem = filesystem
      return {
        target,
        unmount: nothing,
        ended: new Promise(() => undefined),
        noticesSent: nothing,
        counts: new Uint32Array(),
        [Symbol.asyncDispose]: nothing,
      }
    },
  }
}

function statfs() {
  const free = { blocks: 1 << 24, blocksFree: 1 << 24, files: 1 << 24, filesFree: 1 << 24 }
  return { blockSize: 4096, nameMax: 255, ...free }
}
