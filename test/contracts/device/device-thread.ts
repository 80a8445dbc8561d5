import { parentPort, workerData } from 'node:worker_threads'
import { serve } from './device-server.ts'

if (parentPort === null) throw new Error('this is the main file of a worker thread')
const port = parentPort
port.on(
  'message',
  serve(workerData, (message) => port.postMessage(message)),
)
