import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DeviceName } from '../../../fs-layer/device/device.ts'
import type { Variant } from './variant.ts'
import type { ViewProcess } from './view-process.ts'

/** A view of ours, served by another process through one of the devices. */
export async function croftVariant(
  name: string,
  device: DeviceName,
  { views, home, observed = true }: { views: ViewProcess; home: string; observed?: boolean },
): Promise<Variant> {
  const path = join(home, name)
  mkdirSync(path)
  await views.call({ op: 'open', view: name, target: path, device, observed })
  const renew = async () => {
    await views.call({ op: 'close', view: name })
    await views.call({ op: 'open', view: name, target: path, device, observed })
  }
  return {
    name,
    path,
    servingMs: () => processorMsOf(views.pid),
    renew,
    restore: ({ undo }) => (undo === undefined ? Promise.resolve() : renew()),
    // Its process ends with all of its views.
    [Symbol.asyncDispose]: async () => undefined,
  }
}

/** Of all its threads that are there still: schedstat begins with the nanoseconds that a thread has run. */
function processorMsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const ns = threads.map((thread) =>
    Number.parseInt(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1'), 10),
  )
  return ns.reduce((sum, each) => sum + each, 0) / 1e6
}
