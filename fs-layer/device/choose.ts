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
  /** False: neither works here, and mounting will fail; all else that a server does will not. */
  readonly able: boolean
  /** One line: why this one, and where it was not the first choice, why not that. */
  readonly reason: string
}

/** The one place that picks. Fails with a `DeviceError` where the one that is wanted by name does not work. */
export async function chooseDevice(wanted: WantedDevice, probes: DeviceProbes): Promise<Choice> {
  const order: readonly HostDevice[] = wanted === 'auto' ? ['kernel', 'fuse-native'] : [wanted]
  const inTheWay: string[] = []
  for (const device of order) {
    const { able, reason } = await probes[device]()
    if (able) return { device, able, reason: [...inTheWay, `${device}: ${reason}`].join('; ') }
    inTheWay.push(`not ${device}: ${reason}`)
  }
  const reason = inTheWay.join('; ')
  if (wanted === 'auto') return { device: 'kernel', able: false, reason }
  throw new DeviceError('DEVICE_MISSING', `views cannot be mounted as wanted: ${reason}`)
}
