import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { DeviceName } from '../../../fs-layer/worker/messages.ts'
import type { Variant } from './variant.ts'
import type { ViewProcess } from './view-process.ts'

/** A view of ours, served by another process through one of the devices. */
export async function croftVariant(
  name: string,
  device: DeviceName,
  { views, home }: { views: ViewProcess; home: string },
): Promise<Variant> {
  const path = join(home, name)
  mkdirSync(path)
  await views.call({ op: 'open', view: name, target: path, device })
  const renew = async () => {
    await views.call({ op: 'close', view: name })
    await views.call({ op: 'open', view: name, target: path, device })
  }
  return {
    name,
    path,
    renew,
    restore: ({ undo }) => (undo === undefined ? Promise.resolve() : renew()),
    // Its process ends with all of its views.
    [Symbol.asyncDispose]: async () => undefined,
  }
}
