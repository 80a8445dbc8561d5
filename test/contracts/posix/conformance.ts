import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { CAPABILITIES, type DeviceCapabilities } from '../../../fs-layer/device/capabilities.ts'
import type { DeviceName } from '../../../fs-layer/device/device.ts'
import { has, lacks, needs } from '../../needs.ts'
import type { Need } from '../../probes.ts'
import { ATTRIBUTES } from './attributes.ts'
import { CONTENTS } from './contents.ts'
import { DESCRIPTORS } from './descriptors.ts'
import { KINDS } from './kinds.ts'
import { NAMES } from './names.ts'
import { PERMISSIONS } from './permissions.ts'
import { type Cases, type Given, type Place, prepare, USER } from './places.ts'

const AREAS: Readonly<Record<string, Cases>> = {
  names: NAMES,
  kinds: KINDS,
  descriptors: DESCRIPTORS,
  contents: CONTENTS,
  attributes: ATTRIBUTES,
  permissions: PERMISSIONS,
}

/**
 * Runs every case through a device, on a view whose files are new and on one whose files are the base's; or, without a
 * device, on a plain directory, so that what the cases expect is what the kernel's own filesystem does. As root and as
 * an ordinary user.
 */
export function conformance(device: DeviceName | null): void {
  const places: readonly Place[] = device === null ? ['ext4'] : ['new files', 'files of a base']
  for (const place of places) {
    for (const uid of [0, USER]) {
      describe(`${place}, as ${uid === 0 ? 'root' : 'an ordinary user'}`, () => conformanceAt(place, device, uid))
    }
  }
}

function conformanceAt(place: Place, device: DeviceName | null, uid: number): void {
  const needed: Need[] = ['root', 'fuse', ...(device === 'fuse-native' ? (['fuse-native'] as const) : [])]
  const count = Object.values(AREAS).reduce((sum, cases) => sum + Object.keys(cases).length, 0)
  let given: Given | undefined
  let next = 0
  beforeAll(async () => {
    if (await has(...needed)) given = await prepare(place, device, uid, count)
  })
  beforeEach((context) => needs(context, ...needed))
  afterAll(() => given?.close())
  for (const [area, cases] of Object.entries(AREAS)) {
    describe(area, () => {
      for (const [title, run] of Object.entries(cases)) {
        const index = next++
        it(title, async (context) => {
          if (given === undefined) throw new Error('not prepared')
          const able = (...abilities: (keyof DeviceCapabilities)[]) => {
            if (device === null) return
            const missing = abilities.find((ability) => !CAPABILITIES[device][ability])
            if (missing !== undefined) lacks(context, `${missing} (${device})`)
          }
          await run({ ...(await given.enter(index)), able })
        })
      }
    })
  }
}
