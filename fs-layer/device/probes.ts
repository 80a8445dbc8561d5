import type { DeviceProbes } from './choose.ts'
import { probeFuseNative } from './fuse-native/probe.ts'
import { probeKernelDevice } from './kernel/probe.ts'

export const DEVICE_PROBES: DeviceProbes = { kernel: probeKernelDevice, 'fuse-native': probeFuseNative }
