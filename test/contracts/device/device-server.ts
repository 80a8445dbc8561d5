import { openSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { Device, Mounted, MountOptions } from '../../../fs-layer/device/device.ts'
import { kernelDevice } from '../../../fs-layer/device/kernel/device.ts'
import type { Log } from '../../../fs-layer/protocol/log.ts'
import { createLoop, type LoopOptions } from '../../../fs-layer/worker/loop.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'

/**
 * The thread that serves in the tests: mounts a memory filesystem by the device named in `workerData` and does
 * what the messages say, each answered by one message with the same id.
 */
export interface ServerData {
  readonly device: Device['name']
  readonly target: string
  readonly options?: Partial<MountOptions> & LoopOptions
  readonly passthrough?: { readonly name: string; readonly path: string; readonly sizeBytes: number }
}

export type Command =
  | { id: number; do: 'mount' | 'unmount' | 'counts' | 'sent' | 'nodes' | 'fsyncs' | 'echo' | 'awaitEnd' }
  | { id: number; do: 'replace' | 'remove' | 'add'; name: string; contents?: string }

const data = workerData as ServerData
const port = parentPort
if (port === null) throw new Error('this file is the main file of a worker thread')

const log: Log = (level, message, fields) => port.postMessage({ log: [level, message, String(fields['error'] ?? '')] })
const { passthrough } = data
const filesystem = new MemoryFilesystem(
  passthrough === undefined
    ? {}
    : { passthrough: { name: passthrough.name, fd: openSync(passthrough.path, 'r+'), sizeBytes: passthrough.sizeBytes } },
)
let mounted: Mounted | undefined

port.on('message', (command: Command) => {
  run(command).then(
    (result) => port.postMessage({ id: command.id, result }),
    (error) => port.postMessage({ id: command.id, error: { message: error.message, code: error.code } }),
  )
})

async function run(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'mount':
      mounted = await (await device()).mount(filesystem, data.target, { name: 'contract', ...data.options })
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
      return mounted?.counts
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

async function device(): Promise<Device> {
  if (data.device === 'fuse-native') throw new Error('not yet')
  return kernelDevice(createLoop(data.options), log)
}
