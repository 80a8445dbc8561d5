import { once } from 'node:events'
import { connect } from 'node:net'
import { isAbsolute } from 'node:path'
import type { Duplex } from 'node:stream'
import { Opcode, REPLY_BYTES, REQUEST_BYTES } from '../../protocol/constants.ts'
import { createIncoming, decodeHeader } from '../../protocol/decode.ts'
import { createOutgoing } from '../../protocol/encode.ts'
import type { Filesystem } from '../../protocol/filesystem.ts'
import type { Log } from '../../protocol/log.ts'
import { createConnection } from '../../protocol/serve.ts'
import { CAPABILITIES } from '../capabilities.ts'
import { type Device, DeviceError, type Mounted, type MountOptions } from '../device.ts'
import { createLateRequests } from './late-requests.ts'
import { INIT_TIMEOUT_MS, MAX_BURST_BYTES, MAX_BURST_REQUESTS, NOTICE_TIMEOUT_MS } from './limits.ts'
import { createMessages } from './messages.ts'
import { createStreamNotices } from './notices.ts'

/** Serves any stream, too, where whoever has it need not give it a name. */
export interface StreamDevice extends Device {
  /** As `mount`; `target` is how the stream is called in errors. The stream is the device's from then on. */
  serve(filesystem: Filesystem, stream: Duplex, target: string, options: MountOptions): Promise<Mounted>
}

export interface StreamOptions {
  readonly initTimeoutMs?: number
  readonly noticeTimeoutMs?: number
}

/**
 * The same protocol over a stream of bytes: the kernel is another one (a guest's), whose own `/dev/fuse` somebody
 * mounts there and copies to and from us. `target` is a unix socket that somebody listens on.
 *
 * Whoever copies must write notices (unique 0) in order, and from another thread than replies: a notice may wait for
 * a lock that is only free after a reply that comes behind it. It answers our questions after notices (`notices.ts`).
 *
 * The far side is not trusted. What it can do wrong ends its own stream, with one line in the log; what it can make us
 * keep is bounded (`limits.ts`). When it does not read, it is not read from.
 */
export function streamDevice(log: Log, { initTimeoutMs, noticeTimeoutMs }: StreamOptions = {}): StreamDevice {
  const shared = { incoming: createIncoming(REQUEST_BYTES), outgoing: createOutgoing(REPLY_BYTES) }
  return {
    name: 'stream',
    capabilities: CAPABILITIES.stream,
    async mount(filesystem, target, options) {
      return serve(filesystem, await connected(target), target, options)
    },
    serve,
  }

  async function serve(
    filesystem: Filesystem,
    stream: Duplex,
    target: string,
    options: MountOptions,
  ): Promise<Mounted> {
    const mountLog: Log = (level, message, fields) => log(level, message, { ...fields, mount: options.name })
    const messages = createMessages(REQUEST_BYTES)
    const late = createLateRequests()
    const notices = createStreamNotices({
      write: (bytes) => stream.write(bytes),
      fail: end,
      minor: () => connection.negotiated?.minor ?? 0,
      timeoutMs: noticeTimeoutMs ?? NOTICE_TIMEOUT_MS,
    })
    const transport = {
      send(bytes: Buffer, length: number) {
        if (over) return
        const wasFull = late.full
        late.answered(uniqueOf(bytes.readUInt32LE(8), bytes.readUInt32LE(12)))
        // A copy, as the stream writes when it can, and the buffer is the next reply's.
        stream.write(Buffer.from(bytes.subarray(0, length)))
        if (wasFull) serveLater()
      },
      acquireBacking: () => 0,
      releaseBacking: () => undefined,
    }
    const connection = createConnection(
      { ...options, passthrough: false },
      { ...shared, filesystem, transport, log: mountLog },
    )
    let over = false
    let whyEnded: string | null = null
    let scheduled = false
    let settleEnded: () => void
    const ended = new Promise<void>((resolve) => {
      settleEnded = resolve
    })
    filesystem.attach(notices)
    stream.on('readable', serveSome)
    stream.on('drain', serveSome)
    stream.on('error', (error) => end(hasHungUp(error) ? null : error.message))
    stream.on('end', () => stream.end())
    stream.on('close', () => end(null))

    let unmounting: Promise<void> | undefined
    const mounted: Mounted = {
      target,
      ended,
      counts: connection.counts,
      noticesSent: notices.flush,
      unmount() {
        unmounting ??= unmount()
        return unmounting
      },
      [Symbol.asyncDispose]: () => mounted.unmount(),
    }
    const initTimer = setTimeout(() => end('it did not begin the protocol'), initTimeoutMs ?? INIT_TIMEOUT_MS)
    try {
      await Promise.race([connection.ready, ended])
    } catch (error) {
      await mounted.unmount()
      throw new DeviceError('PROTOCOL_TOO_OLD', `cannot serve ${target}`, { cause: error })
    } finally {
      clearTimeout(initTimer)
    }
    if (connection.negotiated === null) {
      throw new DeviceError('MOUNT_FAILED', `cannot serve ${target}: ${whyEnded ?? 'it was closed'}`)
    }
    return mounted

    function serveSome(): void {
      let requests = 0
      let bytes = 0
      while (!over && !stream.writableNeedDrain && !late.full) {
        if (requests >= MAX_BURST_REQUESTS || bytes >= MAX_BURST_BYTES) return serveLater()
        const length = messages.next(shared.incoming.bytes)
        if (length < 0) return end('what it sent is no request')
        if (length > 0) {
          requests++
          bytes += length
          serveOne(length)
          continue
        }
        const chunk: Buffer | null = stream.read()
        if (chunk === null) return
        messages.push(chunk)
      }
    }

    function serveLater(): void {
      if (scheduled) return
      scheduled = true
      setImmediate(() => {
        scheduled = false
        serveSome()
      })
    }

    function serveOne(length: number): void {
      const { incoming } = shared
      if (!decodeHeader(incoming, length)) return end('what it sent is no request')
      const { opcode, uniqueLow, uniqueHigh } = incoming
      if (opcode === Opcode.NOTIFY_REPLY) {
        if (uniqueHigh !== 0 || !notices.answered(uniqueLow)) end('it answered what nobody asked')
        return
      }
      if ((opcode === Opcode.INIT) !== (connection.negotiated === null))
        return end('it did not begin with INIT, or again')
      if (!UNANSWERED.has(opcode) && !late.add(uniqueOf(uniqueLow, uniqueHigh), length)) {
        return end('it used the number of a request under way again')
      }
      connection.handle(length)
    }

    async function unmount(): Promise<void> {
      if (!over) stream.end()
      const linger = setTimeout(() => stream.destroy(), options.lingerMs ?? DEFAULT_LINGER_MS)
      await ended
      clearTimeout(linger)
    }

    /** `null`: it was closed, by either side. */
    function end(reason: string | null): void {
      if (over) return
      over = true
      whyEnded = reason
      if (reason !== null) mountLog('warn', `the stream of a mount was cut off: ${reason}`, {})
      else if (unmounting === undefined) mountLog('info', 'the stream of a mount was closed by its far side', {})
      notices.close()
      filesystem.attach(null)
      stream.destroy()
      settleEnded()
    }
  }
}

const DEFAULT_LINGER_MS = 1000

/** To these nothing is replied. */
const UNANSWERED = new Set<number>([Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT])

function uniqueOf(low: number, high: number): string {
  return `${high}:${low}`
}

/** It went away while we wrote. */
function hasHungUp(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE' || error.code === 'ECONNRESET'
}

async function connected(path: string): Promise<Duplex> {
  if (!isAbsolute(path)) throw new DeviceError('TARGET_UNFIT', `socket ${path} is not an absolute path`)
  const socket = connect({ path, allowHalfOpen: true })
  try {
    await once(socket, 'connect')
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause)
    throw new DeviceError('TARGET_UNFIT', `cannot connect to the socket ${path}: ${said}`, { cause })
  }
  return socket
}
