import { DeviceError } from './device.ts'

/** Of devices whose mounts are on this host. */
export type HostDevice = 'kernel' | 'fuse-native'
export type WantedDevice = 'auto' | HostDevice

/** What a probe found: what makes it possible, or what is in the way and how that is mended. */
export interface Finding {
  readonly able: boolean
  readonly reason: string
}

/** Each is tried only when the choice depends on it. */
export type DeviceProbes = Readonly<Record<HostDevice, () => Promise<Finding>>>

export interface Choice {
  readonly device: HostDevice
  /** One line: why this one, and where it was not the first choice, why not that. */
  readonly reason: string
}

/** The one place that picks. Fails with a `DeviceError` that says what is in the way of each that was considered. */
export async function chooseDevice(wanted: WantedDevice, probes: DeviceProbes): Promise<Choice> {
  const order: readonly HostDevice[] = wanted === 'auto' ? ['kernel', 'fuse-native'] : [wanted]
  const inTheWay: string[] = []
  for (const device of order) {
    const { able, reason } = await probes[device]()
    if (able) return { device, reason: [...inTheWay, `${device}: ${reason}`].join('; ') }
    inTheWay.push(`not ${device}: ${reason}`)
  }
  throw new DeviceError('DEVICE_MISSING', `no device can mount views here: ${inTheWay.join('; ')}`)
}
