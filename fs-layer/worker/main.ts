import { parentPort, workerData } from 'node:worker_threads'
import { loadSyscalls } from '../device/kernel/syscalls.ts'
import { Errno } from '../protocol/errno.ts'
import { hostCustody } from './host-custody.ts'
import type { Failure, Request, Response } from './messages.ts'
import { plainFields } from './plain-fields.ts'
import { Session, type SessionOptions } from './session.ts'

/** The filesystem thread's entry: answers calls, in the order in which they can be answered. */
const port = parentPort
if (port === null) throw new Error('fs-layer/worker/main runs as a worker thread only')

const custody = hostCustody(loadSyscalls(), (errand) => send({ errand }))
const session = await Session.open(workerData as SessionOptions, {
  log: (level, message, fields) => send({ log: { level, message, fields: plainFields(fields) } }),
  heir: {
    custody,
    estate: (view, part) => ({
      keep: (piece, memory) => send({ keep: { view, part, piece, memory } }),
      drop: (piece) => send({ keep: { view, part, piece } }),
    }),
  },
})

port.on('message', (request: Request) => {
  if ('done' in request) return custody.done(request.done, request.errno)
  const { id, call } = request
  session
    .answer(call)
    .then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: asFailure(error) }),
    )
    .finally(() => {
      if (call.op === 'stop') port.close()
    })
})
send({ id: 0, value: null })

function send(response: Response): void {
  port?.postMessage(response)
}

function asFailure(error: unknown): Failure {
  if (error instanceof Errno) return { errno: error.name }
  if (!(error instanceof Error)) return { message: String(error) }
  const code = (error as NodeJS.ErrnoException).code
  return code === undefined ? { message: error.message } : { message: error.message, code: String(code) }
}
