import { openSync } from 'node:fs'
import type { Device, Mounted, MountOptions } from '../../../fs-layer/device/device.ts'
import { fuseNativeDevice } from '../../../fs-layer/device/fuse-native/device.ts'
import { kernelDevice } from '../../../fs-layer/device/kernel/device.ts'
import { type StreamOptions, streamDevice } from '../../../fs-layer/device/stream/device.ts'
import type { Log } from '../../../fs-layer/protocol/log.ts'
import { createLoop, type LoopOptions } from '../../../fs-layer/worker/loop.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'

/** What is served, by which device. */
export interface ServerData {
  readonly device: Device['name']
  readonly target: string
  /** Of the stream device: where the pump listens that mounts on `target`. */
  readonly socket?: string
  readonly options?: Partial<MountOptions> & LoopOptions & StreamOptions
  readonly passthrough?: { readonly name: string; readonly path: string; readonly sizeBytes: number }
}

export type Command =
  | { id: number; do: 'mount' | 'unmount' | 'counts' | 'sent' | 'nodes' | 'fsyncs' | 'echo' | 'awaitEnd' }
  | { id: number; do: 'replace' | 'remove' | 'add'; name: string; contents?: string }

/** Answers commands with messages by `post`: from a thread for the kernel device, from a process for the other. */
export function serve(data: ServerData, post: (message: object) => void): (command: Command) => void {
  const log: Log = (level, message, fields) => post({ log: [level, message, String(fields.error ?? '')] })
  const { passthrough } = data
  const filesystem = new MemoryFilesystem(passthrough === undefined ? {} : { passthrough: opened(passthrough) })
  let mounted: Mounted | undefined

  return (command) => {
    run(command).then(
      (result) => post({ id: command.id, result }),
      (error) => post({ id: command.id, error: { message: error.message, code: error.code } }),
    )
  }

  async function run(command: Command): Promise<unknown> {
    switch (command.do) {
      case 'mount':
        mounted = await device().mount(filesystem, data.socket ?? data.target, { name: 'contract', ...data.options })
        return null
      case 'unmount':
        await mounted?.unmount()
        return null
      case 'awaitEnd':
        await mounted?.ended
        return null
      case 'sent':
        await mounted?.noticesSent()
        return null
      case 'counts':
        return [...(mounted?.counts ?? [])]
      case 'nodes':
        return filesystem.nodeCount
      case 'fsyncs':
        return filesystem.fsyncs
      case 'echo':
        return 'echo'
      case 'replace':
        return filesystem.replaceBehind(command.name, Buffer.from(command.contents ?? ''))
      case 'remove':
        return filesystem.removeBehind(command.name)
      case 'add':
        return filesystem.addBehind(command.name)
    }
  }

  function device(): Device {
    if (data.device === 'fuse-native') return fuseNativeDevice(log)
    if (data.device === 'stream') return streamDevice(log, data.options)
    return kernelDevice(createLoop(data.options), log)
  }
}

function opened({ name, path, sizeBytes }: NonNullable<ServerData['passthrough']>) {
  return { name, fd: openSync(path, 'r+'), sizeBytes }
}
