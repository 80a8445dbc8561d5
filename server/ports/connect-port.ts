import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ConnectPortRequest, ConnectPortResponseSchema } from '../../proto/index.ts'
import { AgentError } from '../../runtimes/contract/agent.ts'
import { roomIn } from '../concurrency/room-in.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { Running } from '../sandboxes/running.ts'
import { connectInside } from './connect-inside.ts'

type Answer = MessageInitShape<typeof ConnectPortResponseSchema>

/**
 * One connection: each way is taken no faster than the other side takes it, and has its own end. It is over when both
 * have ended, or when it breaks on either side.
 */
export async function* connectPort(
  requests: AsyncIterable<ConnectPortRequest>,
  find: (sandboxId: string) => Running,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): AsyncGenerator<Answer> {
  const incoming = requests[Symbol.asyncIterator]()
  const first = await incoming.next()
  if (first.done === true || first.value.message.case !== 'start') {
    throw invalid('start', 'must be the first message')
  }
  const { sandboxId, port } = first.value.message.value
  checkPort(port, 'start.port')
  const running = find(sandboxId)
  running.beginConnection()
  try {
    const inside = await connectInside(running.agent, port, limits.proxyConnectMs)
    const giveUp = () => inside.destroy()
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    try {
      yield { message: { case: 'connected', value: true } }
      const sent = pump(incoming, inside)
      // Where it fails the stream is destroyed too, which ends the reading with the reason.
      sent.catch(giveUp)
      for await (const data of inside.iterator({ destroyOnReturn: false })) {
        yield { message: { case: 'data', value: data as Buffer } }
      }
      yield { message: { case: 'end', value: true } }
      await sent
    } catch (error) {
      throw brokenBy(error)
    } finally {
      signal.removeEventListener('abort', giveUp)
      inside.destroy()
    }
  } finally {
    running.endConnection()
  }
}

export function checkPort(port: number, field: string): void {
  if (port < 1 || port > 65_535) throw invalid(field, 'must be 1 to 65535')
}

async function pump(incoming: AsyncIterator<ConnectPortRequest>, inside: Duplex): Promise<void> {
  for (let next = await incoming.next(); next.done !== true; next = await incoming.next()) {
    const { message } = next.value
    if (message.case !== 'data') throw invalid('message', 'must be data after the first')
    if (inside.destroyed) return
    const { buffer, byteOffset, length } = message.value
    if (!inside.write(Buffer.from(buffer, byteOffset, length))) await roomIn(inside)
  }
  inside.end()
  if (!inside.destroyed && !inside.writableFinished) await once(inside, 'finish').catch(() => undefined)
}

/** The server inside has broken the connection; the end of the sandbox is another error. */
function brokenBy(error: unknown): unknown {
  if (!(error instanceof AgentError) || error.errno === undefined) return error
  return new CroftError('ABORTED', `the server in the sandbox broke the connection: ${error.errno}`, {
    reason: 'connection_broken',
    cause: error,
  })
}
