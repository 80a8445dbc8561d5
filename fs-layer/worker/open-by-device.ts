import { type Choice, chooseDevice, type WantedDevice } from '../device/choose.ts'
import { DEVICE_PROBES } from '../device/probes.ts'
import type { FsLayer, FsLayerOptions } from './api.ts'
import { openFsLayer, openFsLayerHere } from './host.ts'

/**
 * The filesystem for a device that works here, if one does: in a thread of its own, but for `fuse-native`, which calls
 * back on the main thread of a process and nowhere else. Fails with a `DeviceError` where the one that is wanted by name
 * does not work.
 */
export async function openFsLayerByDevice(
  wanted: WantedDevice,
  options: FsLayerOptions,
): Promise<{ fsLayer: FsLayer; choice: Choice }> {
  const choice = await chooseDevice(wanted, DEVICE_PROBES)
  if (choice.able) options.onLog?.('info', 'chose how views are mounted', { ...choice })
  else options.onLog?.('warn', 'views cannot be mounted here', { ...choice })
  const open = choice.device === 'fuse-native' ? openFsLayerHere : openFsLayer
  return { fsLayer: await open(options), choice }
}
