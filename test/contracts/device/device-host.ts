import { Worker } from 'node:worker_threads'
import { type Command, type ServerData, serve } from './device-server.ts'

/**
 * The process that the serving thread of the tests lives in. Its own, because a process that waits for a mount of
 * one of its threads cannot be killed: the thread that would answer dies first, and the descriptor whose closing
 * would end the wait stays open until the waiting one is gone.
 */
process.once('message', (workerData: ServerData) => {
  if (workerData.device === 'fuse-native') {
    process.on(
      'message',
      serve(workerData, (message) => process.send?.(message)),
    )
    return
  }
  const worker = new Worker(new URL('./device-thread.js', import.meta.url), { workerData })
  worker.on('message', (message) => process.send?.(message))
  worker.on('error', (error) => process.send?.({ log: ['error', 'the thread died', String(error.stack)] }))
  process.on('message', (command: Command | { id: number; do: 'terminate' }) => {
    if (command.do !== 'terminate') worker.postMessage(command)
    else worker.terminate().then(() => process.send?.({ id: command.id, result: null }))
  })
})
