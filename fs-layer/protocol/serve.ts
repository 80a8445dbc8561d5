import { IN_HEADER_BYTES, OPCODES, Opcode, OUT_HEADER_BYTES, UNIQUE_RESENT } from './constants.ts'
import { decodeHeader, type Incoming } from './decode.ts'
import { createOutgoing, type Outgoing, putHeader } from './encode.ts'
import { EDQUOT, EINVAL, EIO, ENOSYS, Errno } from './errno.ts'
import type { Filesystem } from './filesystem.ts'
import { HANDLERS, MIN_BODY_BYTES } from './handlers.ts'
import type { Log } from './log.ts'
import type { ConnectionOptions, Negotiated } from './negotiate.ts'
import { createSecondTry } from './second-try.ts'
import { NO_REPLY, type Serving, type Transport } from './serving.ts'
import type { UnderWay } from './under-way.ts'

export interface ConnectionDependencies {
  readonly filesystem: Filesystem
  readonly transport: Transport
  /** Where the device puts requests, and from where replies go: shared by all connections of a thread. */
  readonly incoming: Incoming
  readonly outgoing: Outgoing
  readonly log: Log
  /** Of a connection that another thread has begun. */
  readonly begun?: Begun | undefined
  /** Of a connection that another thread may go on with. */
  readonly underWay?: UnderWay | undefined
}

export interface Begun {
  readonly negotiated: Negotiated
  /** To the last request that changed something: the kernel asks again if it has not got it. */
  readonly unsentReply: Buffer | null
}

/** One mount's conversation with its kernel. */
export interface Connection {
  /** Handles the request of `receivedBytes` in `incoming`. Never throws. */
  handle(receivedBytes: number): void
  /** What the kernel agreed to; `null` before INIT. */
  readonly negotiated: Negotiated | null
  /** Requests so far, by opcode. */
  readonly counts: Uint32Array
  /** Resolves at INIT; rejects if the kernel speaks a version that we do not. */
  readonly ready: Promise<Negotiated>
}

/** A late reply is empty, a few numbers or the attributes of an inode. */
const MAX_LATE_BODY_BYTES = 128

/**
 * Makes the one place that replies. A handler writes the body of its reply and returns its length, or throws an
 * `Errno`, which is the reply then. Anything else that it throws is a bug of ours: logged, and EIO to the caller.
 *
 * Every request is answered before the next one is read, but for FSYNC, FSYNCDIR, SYNCFS, and the first WRITE or
 * SETATTR of the size that has to bring a large file of the base into the delta. One that finds no room is answered
 * when it has been tried again (`second-try.ts`).
 */
export function createConnection(options: ConnectionOptions, dependencies: ConnectionDependencies): Connection {
  const { incoming, outgoing, transport, log, underWay } = dependencies
  const counts = new Uint32Array(OPCODES)
  let settle: { resolve(value: Negotiated): void; reject(error: Error): void }
  const ready = new Promise<Negotiated>((resolve, reject) => {
    settle = { resolve, reject }
  })
  const serving: Serving = {
    ...dependencies,
    options,
    negotiated: dependencies.begun?.negotiated ?? null,
    settleReady: (result) => (result instanceof Error ? settle.reject(result) : settle.resolve(result)),
    replyAfter,
  }
  if (serving.negotiated !== null) serving.settleReady(serving.negotiated)
  const secondTry = createSecondTry((request) => {
    request.copy(incoming.bytes)
    answer(request.length, true)
    underWay?.end()
  })

  return {
    handle(receivedBytes) {
      secondTry.heard()
      answer(receivedBytes, false)
      underWay?.end()
    },
    get negotiated() {
      return serving.negotiated
    },
    counts,
    ready,
  }

  function answer(receivedBytes: number, isSecondTry: boolean): void {
    if (!decodeHeader(incoming, receivedBytes)) {
      log('error', 'malformed request', { receivedBytes })
      return
    }
    if (incoming.uniqueHigh >= UNIQUE_RESENT && answeredBefore()) return
    const opcode = incoming.opcode
    if (opcode < OPCODES && !isSecondTry) counts[opcode] = (counts[opcode] as number) + 1
    let bodyBytes = 0
    let error = 0
    try {
      if (underWay?.begin(incoming) === false) throw new Error('the thread has died over this request each time')
      bodyBytes = dispatch(opcode)
    } catch (thrown) {
      if (opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET) {
        errorNumber(thrown, opcode)
        return
      }
      error = errorNumber(thrown, opcode)
      if (thrown === EDQUOT && !isSecondTry) {
        secondTry.keep(incoming.bytes.subarray(0, receivedBytes))
        return
      }
    }
    if (bodyBytes === NO_REPLY) return
    const length = putHeader(outgoing, bodyBytes, error, incoming.uniqueLow, incoming.uniqueHigh)
    transport.send(outgoing.bytes, length)
  }

  /** Asked again for what has been done: it is not done twice, or a `mkdir` that went well would say EEXIST. */
  function answeredBefore(): boolean {
    const reply = dependencies.begun?.unsentReply
    if (!reply || reply.readUInt32LE(8) !== incoming.uniqueLow) return false
    if ((reply.readUInt32LE(12) | UNIQUE_RESENT) >>> 0 !== incoming.uniqueHigh) return false
    reply.copy(outgoing.bytes)
    outgoing.bytes.writeUInt32LE(incoming.uniqueHigh, 12)
    transport.send(outgoing.bytes, reply.length)
    return true
  }

  function dispatch(opcode: number): number {
    const handler = HANDLERS[opcode]
    if (handler === undefined) throw ENOSYS
    if (incoming.end - IN_HEADER_BYTES < (MIN_BODY_BYTES[opcode] ?? 0)) throw EINVAL
    if (serving.negotiated === null && opcode !== Opcode.INIT) throw EIO
    return handler(serving)
  }

  function errorNumber(thrown: unknown, opcode: number): number {
    if (thrown instanceof Errno) return thrown.code
    log('error', 'request failed by a fault of the filesystem', { opcode, node: incoming.node, error: thrown })
    return EIO.code
  }

  function replyAfter<T>(done: Promise<T>, body?: (outgoing: Outgoing, value: T) => number): void {
    // Other requests come in the meantime: what is needed of this one is copied.
    const { uniqueLow, uniqueHigh, opcode } = incoming
    const reply = (error: number, value?: T) => {
      const later = createOutgoing(OUT_HEADER_BYTES + MAX_LATE_BODY_BYTES)
      const length = body === undefined || value === undefined ? 0 : body(later, value)
      transport.send(later.bytes, putHeader(later, length, error, uniqueLow, uniqueHigh))
    }
    done.then(
      (value) => reply(0, value),
      (thrown) => reply(errorNumber(thrown, opcode)),
    )
  }
}
