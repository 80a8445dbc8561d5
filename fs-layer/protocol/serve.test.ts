import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IN_HEADER_BYTES, InitFlag, Opcode, OUT_HEADER_BYTES, REPLY_BYTES, REQUEST_BYTES } from './constants.ts'
import { createIncoming } from './decode.ts'
import { createOutgoing } from './encode.ts'
import { EACCES, EDQUOT } from './errno.ts'
import type { Attr, Filesystem } from './filesystem.ts'
import type { ConnectionOptions } from './negotiate.ts'
import { type ConnectionDependencies, createConnection } from './serve.ts'

const ATTR: Attr = {
  node: 7,
  mode: 0o100644,
  nlink: 1,
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 2 ** 40 + 3,
  atime: 0,
  atimeNsec: 0,
  mtime: -1,
  mtimeNsec: 0,
  ctime: 0,
  blocks: 1,
  btime: 0,
  btimeNsec: 0,
  ctimeNsec: 0,
  volatile: false,
}

describe('a connection', () => {
  it('says nothing to a request whose length is a lie, and logs it', () => {
    const { connection, replies, logged, incoming } = connect({})
    incoming.bytes.writeUInt32LE(999, 0)
    connection.handle(IN_HEADER_BYTES)
    connection.handle(3)
    expect(replies).toEqual([])
    expect(logged).toHaveLength(2)
  })

  it('answers EIO before INIT and ENOSYS to what it does not know', () => {
    const { send } = connect({}, { init: false })
    expect(send(Opcode.GETATTR, u32s(0, 0, 0, 0))).toMatchObject({ error: -5 })
    expect(connected({}).send(63, u32s())).toMatchObject({ error: -38 })
    expect(connected({}).send(100_000, u32s())).toMatchObject({ error: -38 })
  })

  it('refuses a kernel that is too old, and tells it our version', async () => {
    const { send, connection } = connect({}, { init: false })
    const refused = expect(connection.ready).rejects.toThrow('too old')
    expect(send(Opcode.INIT, u32s(7, 30, 0, InitFlag.INIT_EXT, 0)).body.readUInt32LE(0)).toBe(7)
    await refused
    expect(connection.negotiated).toBeNull()
  })

  it('agrees only to what the kernel offered', () => {
    const { send } = connect({}, { init: false })
    const offered = InitFlag.ASYNC_READ | InitFlag.MAX_PAGES
    const { body } = send(Opcode.INIT, u32s(7, 38, 131_072, offered, 0))
    expect([body.readUInt32LE(4), body.readUInt32LE(12), body.readUInt32LE(32)]).toEqual([38, offered, 0])
  })

  it.each([
    ['no bytes', -22, '\0'],
    ['one dot', -22, '.\0'],
    ['two dots', -22, '..\0'],
    ['a slash', -22, 'a/b\0'],
    ['no end', -22, 'name'],
    ['256 bytes', -36, `${'n'.repeat(256)}\0`],
    ['255 bytes', 0, `${'n'.repeat(255)}\0`],
  ] as const)('answers a LOOKUP of a name with %s by %i', (_title, error, name) => {
    expect(connected({ lookup: () => ATTR }).send(Opcode.LOOKUP, Buffer.from(name, 'latin1')).error).toBe(error)
  })

  it('tries a request that found no room again when what waited has been heard, and answers once', async () => {
    let room = false
    const { send, replies } = connected({
      mkdir: () => {
        if (!room) throw EDQUOT
        return ATTR
      },
      forget: () => {
        room = true
      },
    })
    const mkdir = Buffer.concat([u32s(0o755, 0), Buffer.from('new\0')])
    send(Opcode.MKDIR, mkdir, 5n)
    send(Opcode.FORGET, u32s(1, 0))
    expect(replies).toEqual([])
    await expect.poll(() => replies).toMatchObject([{ error: 0, unique: 5n }])
    room = false
    send(Opcode.MKDIR, mkdir, 6n)
    await expect.poll(() => replies).toMatchObject([{ unique: 5n }, { error: -122, unique: 6n }])
  })

  it('passes names on byte by byte', () => {
    const seen: string[] = []
    const { send } = connected({
      lookup: (_caller, _parent, name) => {
        seen.push(name)
        return null
      },
    })
    send(Opcode.LOOKUP, Buffer.from([0xff, 0xc3, 0x01, 0]))
    expect(seen).toEqual(['\xff\xc3\x01'])
  })

  it('lets the kernel remember that a name is missing, but not when the lookup failed', () => {
    const missing = connected({ lookup: () => null }).send(Opcode.LOOKUP, Buffer.from('x\0'))
    expect(missing.error).toBe(0)
    expect(missing.body.readBigUInt64LE(0)).toBe(0n)
    expect(missing.body.readBigUInt64LE(16)).toBeGreaterThan(0n)
    const failed = connected({ lookup: raise(EACCES) }).send(Opcode.LOOKUP, Buffer.from('x\0'))
    expect(failed).toMatchObject({ error: -13, body: Buffer.alloc(0) })
  })

  it('sends large sizes and times before 1970 whole', () => {
    const { body } = connected({ getattr: () => ATTR }).send(Opcode.GETATTR, u32s(0, 0, 0, 0))
    expect(body.readBigUInt64LE(16 + 8)).toBe(2n ** 40n + 3n)
    expect(body.readBigInt64LE(16 + 32)).toBe(-1n)
  })

  it('gives what may vanish no time to live', () => {
    const { body } = connected({ getattr: () => ({ ...ATTR, volatile: true }) }).send(Opcode.GETATTR, u32s(0, 0, 0, 0))
    expect(body.readBigUInt64LE(0)).toBe(0n)
  })

  it('answers EIO and logs when the filesystem breaks, and goes on', () => {
    const { send, logged } = connected({ getattr: raise(new TypeError('a bug')), lookup: () => ATTR })
    expect(send(Opcode.GETATTR, u32s(0, 0, 0, 0)).error).toBe(-5)
    expect(logged).toHaveLength(1)
    expect(send(Opcode.LOOKUP, Buffer.from('x\0')).error).toBe(0)
  })

  it('never writes past the end of a WRITE that claims more than it carries', () => {
    const { send } = connected({ write: (_caller, _node, _offset, data) => data.length })
    const header = u32s(0, 0, 0, 0, 4, 0, 0, 0, 0, 0)
    expect(send(Opcode.WRITE, Buffer.concat([header, Buffer.from('1234')])).body.readUInt32LE(0)).toBe(4)
    expect(send(Opcode.WRITE, Buffer.concat([header, Buffer.from('123')])).error).toBe(-22)
  })

  it('never reads more than the reply can hold', () => {
    const { send } = connected({ read: (_caller, _node, _offset, size) => size })
    const { body } = send(Opcode.READ, u32s(0, 0, 0, 0, 0xffffffff, 0, 0, 0, 0, 0))
    expect(body.length).toBe(REPLY_BYTES - OUT_HEADER_BYTES)
  })

  it('refuses a place in a file beyond what a number holds, and a negative one', () => {
    const { send } = connected({ read: () => 0 })
    expect(send(Opcode.READ, u32s(0, 0, 0, 0x200000, 1, 0, 0, 0, 0, 0)).error).toBe(-27)
    expect(send(Opcode.READ, u32s(0, 0, 0, 0x80000000, 1, 0, 0, 0, 0, 0)).error).toBe(-22)
    expect(send(Opcode.READ, u32s(0, 0, 0xffffffff, 0x1fffff, 1, 0, 0, 0, 0, 0)).error).toBe(0)
  })

  it('stops a listing at the size that was asked for, and pads its names with zeros', () => {
    const taken: boolean[] = []
    const { send } = connected({
      readdir: (_caller, _node, _offset, _plus, emit) => {
        for (const name of ['one', 'two', 'three']) taken.push(emit(name, 5, 8, taken.length + 1, null))
      },
    })
    const { body } = send(Opcode.READDIR, u32s(0, 0, 0, 0, 64, 0, 0, 0, 0, 0))
    expect(taken).toEqual([true, true, false])
    expect(body.length).toBe(64)
    expect(body.subarray(24, 32)).toEqual(Buffer.from('one\0\0\0\0\0'))
  })

  it('delivers the entries that were taken before a listing failed', () => {
    const { send } = connected({
      readdir: (_caller, _node, _offset, _plus, emit) => {
        emit('one', 5, 8, 1, null)
        throw EACCES
      },
    })
    expect(send(Opcode.READDIR, u32s(0, 0, 0, 0, 4096, 0, 0, 0, 0, 0))).toMatchObject({ error: 0 })
  })

  it('answers an fsync when it is done, to the one who asked', async () => {
    let finish: () => void = () => undefined
    const { send, replies, settle } = connected({
      getattr: () => ATTR,
      fsync: () =>
        new Promise<void>((resolve) => {
          finish = resolve
        }),
    })
    send(Opcode.FSYNC, u32s(0, 0, 0, 0), 77n)
    expect(replies).toEqual([])
    expect(send(Opcode.GETATTR, u32s(0, 0, 0, 0), 78n).unique).toBe(78n)
    finish()
    await settle()
    expect(replies.at(-1)).toMatchObject({ unique: 77n, error: 0 })
  })

  it('counts the references of a BATCH_FORGET, and refuses a count that is a lie', () => {
    const forgotten: number[][] = []
    const { send } = connected({ forget: (node, count) => void forgotten.push([node, count]) })
    send(Opcode.BATCH_FORGET, u32s(2, 0, 5, 0, 1, 0, 6, 0, 3, 0))
    expect(forgotten).toEqual([
      [5, 1],
      [6, 3],
    ])
    send(Opcode.BATCH_FORGET, u32s(0xffffffff, 0, 5, 0, 1, 0))
    expect(forgotten).toHaveLength(2)
  })

  it('kills the set-user-id bits at a change of owner', () => {
    let killed: boolean | undefined
    const { send } = connected({
      setattr: (_caller, _node, set) => {
        killed = set.killSuidgid
        return ATTR
      },
    })
    const body = Buffer.alloc(88)
    body.writeUInt32LE(1 << 1, 0)
    send(Opcode.SETATTR, body)
    expect(killed).toBe(true)
  })

  it('survives any bytes, and answers each request once at most', () => {
    const { connection, replies, incoming } = connected(anything())
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 64 }), fc.uint8Array({ maxLength: 300 }), (opcode, body) => {
        if (opcode === Opcode.INIT) return
        replies.length = 0
        connection.handle(request(incoming.bytes, opcode, Buffer.from(body), 1n))
        expect(replies.length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 2000 },
    )
  })
})

function u32s(...words: number[]): Buffer {
  return Buffer.from(new Uint32Array(words).buffer)
}

function raise(error: Error): () => never {
  return () => {
    throw error
  }
}

/** A filesystem all of whose calls work. */
function anything(): Partial<Filesystem> {
  const calls: Partial<Filesystem> = {
    lookup: () => ATTR,
    readlink: () => 'target',
    open: () => ({ cache: 'keep' }),
    create: () => ({ ...ATTR, opened: { cache: 'drop' } }),
    read: () => 0,
    write: (_caller, _node, _offset, data) => data.length,
    fsync: async () => undefined,
    readdir: () => undefined,
    statfs: () => ({ blockSize: 1, blocks: 1, blocksFree: 1, files: 1, filesFree: 1, nameMax: 255 }),
    getxattr: () => Buffer.from('value'),
    listxattr: () => ['user.a'],
    lseek: () => 0,
    copyFileRange: () => 0,
  }
  for (const name of ['getattr', 'setattr', 'symlink', 'mknod', 'mkdir', 'link'] as const) calls[name] = () => ATTR
  for (const name of [
    'forget',
    'unlink',
    'rmdir',
    'rename',
    'release',
    'setxattr',
    'removexattr',
    'fallocate',
  ] as const)
    calls[name] = () => undefined
  return calls
}

describe('a connection that another thread has begun', () => {
  it('needs no INIT, and gives the reply that may not have left only to the request that asks for it again', () => {
    const unsentReply = Buffer.alloc(OUT_HEADER_BYTES + 4, 0xab)
    unsentReply.writeUInt32LE(unsentReply.length, 0)
    unsentReply.writeInt32LE(0, 4)
    unsentReply.writeBigUInt64LE(12n, 8)
    const negotiated = { minor: 45, passthrough: false, resend: true }
    let unlinked = 0
    const unlink = () => {
      unlinked++
    }
    const { send } = connect({ unlink }, { init: false, begun: { negotiated, unsentReply } })
    const again = 2n ** 63n
    expect(send(Opcode.UNLINK, Buffer.from('a\0'), 12n | again)).toEqual({
      error: 0,
      unique: 12n | again,
      body: Buffer.alloc(4, 0xab),
    })
    expect(unlinked).toBe(0)
    expect(send(Opcode.UNLINK, Buffer.from('a\0'), 12n)).toMatchObject({ error: 0, unique: 12n })
    expect(send(Opcode.UNLINK, Buffer.from('a\0'), 14n | again)).toMatchObject({ error: 0, unique: 14n | again })
    expect(unlinked).toBe(2)
  })

  it('refuses a request over which the thread has died each time', () => {
    const { send, logged } = connect({}, { underWay: { begin: () => false, end: () => undefined } })
    expect(send(Opcode.UNLINK, Buffer.from('a\0'))).toMatchObject({ error: -5 })
    expect(logged).not.toEqual([])
  })
})

function connected(filesystem: Partial<Filesystem>, options?: ConnectionOptions) {
  return connect(filesystem, { init: true, ...(options === undefined ? {} : { options }) })
}

interface Parts extends Pick<ConnectionDependencies, 'begun' | 'underWay'> {
  readonly init?: boolean
  readonly options?: ConnectionOptions
}

interface Reply {
  error: number
  unique: bigint
  body: Buffer
}

function connect(
  filesystem: Partial<Filesystem>,
  { init = true, options = {} as ConnectionOptions, ...more }: Parts = {},
) {
  const incoming = createIncoming(REQUEST_BYTES)
  const replies: Reply[] = []
  const logged: unknown[] = []
  const connection = createConnection(options, {
    filesystem: filesystem as Filesystem,
    incoming,
    outgoing: createOutgoing(REPLY_BYTES),
    transport: {
      send(bytes, length) {
        const message = Buffer.from(bytes.subarray(0, length))
        expect(message.readUInt32LE(0)).toBe(length)
        const [error, unique] = [message.readInt32LE(4), message.readBigUInt64LE(8)]
        replies.push({ error, unique, body: message.subarray(OUT_HEADER_BYTES) })
      },
      acquireBacking: () => 0,
      releaseBacking: () => undefined,
    },
    log: (...line) => logged.push(line),
    ...more,
  })
  const send = (opcode: number, body: Buffer, unique = 1n): Reply => {
    connection.handle(request(incoming.bytes, opcode, body, unique))
    return replies.at(-1) as Reply
  }
  if (init) send(Opcode.INIT, u32s(7, 45, 131_072, 0x7fffffff, 0xffff, ...new Array(11).fill(0)))
  replies.length = 0
  return { connection, incoming, replies, logged, send, settle: () => new Promise((resolve) => setImmediate(resolve)) }
}

/** Writes a request and returns its length. */
function request(into: Buffer, opcode: number, body: Buffer, unique: bigint): number {
  const length = IN_HEADER_BYTES + body.length
  into.fill(0, 0, IN_HEADER_BYTES)
  into.writeUInt32LE(length, 0)
  into.writeUInt32LE(opcode, 4)
  into.writeBigUInt64LE(unique, 8)
  into.writeBigUInt64LE(1n, 16)
  body.copy(into, IN_HEADER_BYTES)
  return length
}
