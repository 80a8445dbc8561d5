import { OPEN_FILES_MAX } from '../../../fs-layer/delta/limits.ts'
import { OpenFiles } from '../../../fs-layer/delta/open-files.ts'
import type { Device, DeviceName, Mounted } from '../../../fs-layer/device/device.ts'
import { fuseNativeDevice } from '../../../fs-layer/device/fuse-native/device.ts'
import { kernelDevice } from '../../../fs-layer/device/kernel/device.ts'
import { compilePolicy } from '../../../fs-layer/policy/policy.ts'
import { Opcode } from '../../../fs-layer/protocol/constants.ts'
import type { Hash } from '../../../fs-layer/store/objects.ts'
import { StoreReader } from '../../../fs-layer/store/reader.ts'
import { OpenView } from '../../../fs-layer/view/open-view.ts'
import { createLoop } from '../../../fs-layer/worker/loop.ts'
import { logToStderr, OWNER, RULES, type ServedViews, storeDirOf } from './served-views.ts'

/**
 * The same parts on this process's own thread: where the device tells how many requests it had, and the only one
 * on which `fuse-native` works.
 */
export async function serveInProcess(base: Hash, home: string): Promise<ServedViews> {
  const store = await StoreReader.open({ dir: storeDirOf(home) })
  const files = new OpenFiles({ maxFiles: OPEN_FILES_MAX })
  const devices: Partial<Record<DeviceName, Device>> = {
    kernel: kernelDevice(createLoop(), logToStderr),
    // As libfuse does where it is not told otherwise: a server may not, but this is what others are measured with.
    'fuse-native': fuseNativeDevice(logToStderr, { rememberSec: 1 }),
  }
  const views = new Map<string, { view: OpenView; mounted: Mounted | undefined }>()
  return {
    async open({ view: name, target, device: deviceName, observed }, deltaDir) {
      const device = devices[deviceName]
      if (device === undefined) throw new Error(`${deviceName} has no mount on this host to measure`)
      const policy = compilePolicy(RULES)
      const options = { name, base, deltaDir, policy, owner: OWNER, quota: {}, statfs, observed }
      const view = await OpenView.open(options, { store, files, log: logToStderr })
      const seen: { mounted?: Mounted } = {}
      await view.mount(showing(device, seen), target, true)
      views.set(name, { view, mounted: seen.mounted })
    },
    async close(name) {
      await views.get(name)?.view[Symbol.asyncDispose]()
      views.delete(name)
    },
    counts(name) {
      const counts = views.get(name)?.mounted?.counts
      return Object.fromEntries(Object.entries(Opcode).map(([opcode, number]) => [opcode, counts?.[number] ?? 0]))
    },
    async [Symbol.asyncDispose]() {
      for (const { view } of views.values()) await view[Symbol.asyncDispose]()
      files[Symbol.dispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}

/** A view keeps to itself what it is mounted by. */
function showing(device: Device, seen: { mounted?: Mounted }): Device {
  return {
    ...device,
    async mount(filesystem, target, options) {
      seen.mounted = await device.mount(filesystem, target, options)
      return seen.mounted
    },
  }
}

/** The disk's own is asked for by the filesystem's thread; here any will do. */
function statfs() {
  const free = { blocks: 1 << 24, blocksFree: 1 << 24, files: 1 << 24, filesFree: 1 << 24 }
  return { blockSize: 4096, nameMax: 255, ...free }
}
