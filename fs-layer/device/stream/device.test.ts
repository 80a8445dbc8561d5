import { describe, expect, it } from 'vitest'
import { request, type StreamGuest, streamGuest, u32s } from '../../../test/fixtures/stream-guest.ts'
import { InitFlag2, NOTIFY_INVAL_INODE, NOTIFY_RETRIEVE, Opcode, REQUEST_BYTES } from '../../protocol/constants.ts'
import type { Filesystem, Notifier } from '../../protocol/filesystem.ts'
import { streamDevice } from './device.ts'
import { MAX_LATE_BYTES, MAX_LATE_REQUESTS, MAX_WAITING_NOTICE_BYTES } from './limits.ts'

const STATFS = request(Opcode.STATFS, Buffer.alloc(0))

describe('a stream device', () => {
  it('agrees on the protocol, and passes no file through', async () => {
    await using guest = await streamGuest()
    const { mounting } = serve(guest)
    await guest.init()
    await using _mounted = await mounting
    expect((guest.replies[0]?.body.readUInt32LE(32) ?? -1) & InitFlag2.PASSTHROUGH).toBe(0)
    expect(streamDevice(() => undefined).capabilities.passthrough).toBe(false)
  })

  it.each([
    ['something before INIT', [STATFS], /did not begin with INIT/],
    ['a length less than a header', [u32s(39, 0, 0, 0, 0, 0, 0, 0, 0, 0)], /no request/],
    ['more than the longest request', [u32s(REQUEST_BYTES + 1)], /no request/],
  ] as const)('ends with %s, and says so in one line', async (_, sent, reason) => {
    await using guest = await streamGuest()
    const { mounting, log } = serve(guest)
    const refused = expect(mounting).rejects.toMatchObject({ code: 'MOUNT_FAILED' })
    for (const bytes of sent) guest.raw(bytes)
    await guest.closed
    await refused
    expect(log).toEqual([expect.stringMatching(reason)])
  })

  it.each([
    ['a second INIT', request(Opcode.INIT, u32s(7, 45, 0, 0, 0)), /did not begin with INIT, or again/],
    ['the answer to a notice that was not sent', request(Opcode.NOTIFY_REPLY, Buffer.alloc(40)), /nobody asked/],
    ['a node that no kernel has', request(Opcode.GETATTR, Buffer.alloc(16), { node: 2n ** 60n }), /no request/],
    ['noise', Buffer.alloc(64, 0xff), /no request/],
  ])('ends with %s, and says so in one line', async (_, bytes, reason) => {
    await using guest = await streamGuest()
    const { mounting, log } = serve(guest)
    await guest.init()
    const mounted = await mounting
    guest.raw(bytes)
    await mounted.ended
    await guest.closed
    expect(log).toEqual([expect.stringMatching(reason)])
  })

  it('ends where the protocol is not begun in time', async () => {
    await using guest = await streamGuest()
    const { mounting, log } = serve(guest, {}, { initTimeoutMs: 1 })
    await expect(mounting).rejects.toMatchObject({ code: 'MOUNT_FAILED' })
    expect(log).toEqual([expect.stringMatching(/did not begin the protocol/)])
  })

  it('takes the longest request there is', async () => {
    await using guest = await streamGuest()
    const { mounting } = serve(guest, { write: (_caller, _node, _offset, data) => data.length })
    await guest.init()
    await using _mounted = await mounting
    const data = Buffer.alloc(REQUEST_BYTES - 80, 1)
    guest.raw(request(Opcode.WRITE, Buffer.concat([u32s(0, 0, 0, 0, data.length, 0, 0, 0, 0, 0), data])))
    await guest.replied(2)
    expect(guest.replies[1]?.body.readUInt32LE(0)).toBe(data.length)
  })

  it('reads no more of one that does not read, and goes on when it does', async () => {
    await using guest = await streamGuest()
    let reads = 0
    const read: Filesystem['read'] = (_caller, _node, _offset, size) => {
      reads++
      return size
    }
    const { mounting } = serve(guest, { read })
    await guest.init()
    await using _mounted = await mounting
    guest.deafen()
    const many = 50
    for (let at = 0; at < many; at++) {
      guest.raw(request(Opcode.READ, u32s(0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0), { unique: BigInt(at + 10) }))
    }
    await quiet(() => reads)
    // What is written but not sent is one reply; the rest is in the socket's own buffers.
    expect(guest.stream.writableLength).toBeLessThan(2 << 20)
    expect(reads).toBeLessThan(10)
    guest.read()
    await guest.replied(many + 1)
    expect(reads).toBe(many)
  })

  it('has a bounded number of requests under way, of a bounded size', async () => {
    for (const [opcode, body, most] of [
      [Opcode.FSYNC, Buffer.alloc(16), MAX_LATE_REQUESTS],
      [
        Opcode.WRITE,
        Buffer.concat([u32s(0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0), Buffer.alloc(1 << 20)]),
        MAX_LATE_BYTES >> 20,
      ],
    ] as const) {
      await using guest = await streamGuest()
      const done: (() => void)[] = []
      const later = () => new Promise<void>((resolve) => done.push(resolve))
      const { mounting } = serve(guest, { fsync: later, write: () => later().then(() => 1 << 20) })
      await guest.init()
      await using mounted = await mounting
      for (let at = 0; at < most + 10; at++) guest.raw(request(opcode, body, { unique: BigInt(at + 10) }))
      await quiet(() => done.length)
      expect(mounted.counts[opcode]).toBe(most)
      while (guest.replies.length < most + 11) {
        for (const resolve of done.splice(0)) resolve()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
  })

  it('refuses a number that is under way', async () => {
    await using guest = await streamGuest()
    const { mounting, log } = serve(guest, { fsync: () => new Promise(() => undefined) })
    await guest.init()
    const mounted = await mounting
    guest.raw(request(Opcode.FSYNC, Buffer.alloc(16)))
    guest.raw(request(Opcode.FSYNC, Buffer.alloc(16)))
    await mounted.ended
    expect(log).toEqual([expect.stringMatching(/under way again/)])
  })

  it('sends a batch of notices, and the next when it is in force', async () => {
    await using guest = await streamGuest()
    const { mounting, notifier } = serve(guest)
    await guest.init()
    await using mounted = await mounting
    notifier().nodeChanged(1, true)
    notifier().nodeChanged(2, true)
    await guest.replied(4)
    notifier().nodeChanged(3, true)
    let sent = false
    const all = mounted.noticesSent().then(() => {
      sent = true
    })
    expect(guest.replies.slice(1).map(({ error }) => error)).toEqual([
      NOTIFY_INVAL_INODE,
      NOTIFY_INVAL_INODE,
      NOTIFY_RETRIEVE,
    ])
    guest.raw(request(Opcode.NOTIFY_REPLY, Buffer.alloc(0), { unique: 1n }))
    await guest.replied(6)
    expect(sent).toBe(false)
    guest.raw(request(Opcode.NOTIFY_REPLY, Buffer.alloc(0), { unique: 2n }))
    await all
  })

  it('ends with one that takes no notices, by time and by number', async () => {
    await using slow = await streamGuest()
    const patient = serve(slow, {}, { noticeTimeoutMs: 1 })
    await slow.init()
    const mounted = await patient.mounting
    patient.notifier().nodeChanged(1, true)
    await mounted.noticesSent()
    await mounted.ended
    expect(patient.log).toEqual([expect.stringMatching(/took no notice for 1 ms/)])

    await using full = await streamGuest()
    const { mounting, notifier, log } = serve(full)
    await full.init()
    const served = await mounting
    const data = Buffer.alloc(1 << 20)
    for (let at = 0; at <= MAX_WAITING_NOTICE_BYTES >> 20; at++) notifier().stored(1, 0, data)
    await served.ended
    expect(log).toEqual([expect.stringMatching(/does not keep up/)])
  })

  it('ends in good order when it is unmounted, and when the far side goes', async () => {
    await using guest = await streamGuest()
    const one = serve(guest)
    await guest.init()
    await (await one.mounting).unmount()
    await guest.closed
    expect(one.log).toEqual([])

    await using gone = await streamGuest()
    const other = serve(gone)
    await gone.init()
    const mounted = await other.mounting
    await gone[Symbol.asyncDispose]()
    await mounted.ended
    expect(other.log).toEqual([])
  })

  it('says what is wrong with a socket that nobody listens on', async () => {
    const device = streamDevice(() => undefined)
    const filesystem = served({})
    await expect(device.mount(filesystem, '/nowhere/s', { name: 'x' })).rejects.toMatchObject({ code: 'TARGET_UNFIT' })
    await expect(device.mount(filesystem, 'here', { name: 'x' })).rejects.toThrow('not an absolute path')
  })
})

/** Resolves when it is the same for a while: what is not done by then is not under way. */
async function quiet(count: () => number): Promise<void> {
  for (let same = 0, last = -1; same < 50; same = count() === last ? same + 1 : 0) {
    last = count()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function served(calls: Partial<Filesystem>): Filesystem {
  return { attach: () => undefined, ...calls } as Filesystem
}

function serve(guest: StreamGuest, calls: Partial<Filesystem> = {}, options = {}) {
  const log: string[] = []
  let attached: Notifier | null = null
  const filesystem = served({
    ...calls,
    attach: (notifier) => {
      attached = notifier ?? attached
    },
  })
  const device = streamDevice((level, message) => {
    if (level !== 'info') log.push(message)
  }, options)
  const mounting = device.serve(filesystem, guest.stream, 'the stream', { name: 'test' })
  return {
    mounting,
    log,
    notifier: () => {
      if (attached === null) throw new Error('nothing is attached')
      return attached
    },
  }
}
