import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Caller, startCaller } from '../fixtures/caller/caller.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

/** What a program may ask of a filesystem at most, of a view whose writes the kernel gathers. */
const OWNER = 12_345
const [O_RDONLY, O_RDWR, O_CREAT, O_NONBLOCK] = [0, 2, 0o100, 0o4000]
const [SEEK_SET, SEEK_DATA, SEEK_HOLE] = [0, 3, 4]
const [LOCK_EX, LOCK_UN] = [2, 8]
const [F_WRLCK, F_UNLCK] = [1, 2] as const
const [POLLIN, POLLOUT] = [1, 4]
const GIB = 2 ** 30
/** A file of the base is read whole when it is taken into the store, holes too: `CROFT_LARGE_MIB=4096 npm test` has time. */
const LARGE_OF_BASE = Number(process.env['CROFT_LARGE_MIB'] ?? 128) * 2 ** 20

let mounted: MountedView
let c: Caller
let d: Caller

async function open(base?: string): Promise<void> {
  const owner = { uid: OWNER, gid: OWNER }
  mounted = await mountedView({ owner, unprivileged: true, ...(base === undefined ? {} : { base }) })
  fs.chmodSync(join(mounted.path, '..'), 0o711)
  c = await startCaller(mounted.path, OWNER)
  d = await startCaller(mounted.path, OWNER)
}

beforeEach((context) => needs(context, 'root', 'fuse'))

afterEach(async () => {
  for (const caller of [c, d]) await caller?.[Symbol.asyncDispose]()
  expect(mounted?.log ?? []).toEqual([])
  await mounted?.[Symbol.asyncDispose]()
})

describe('a directory of 100,000 names', () => {
  it('is filled, listed from any place while it changes, and emptied', async () => {
    await open()
    const count = 100_000
    await c.mkdir('many')
    for (const caller of [c, d]) await caller.chdir('many')
    await c.makeMany('f', count)
    const fd = await d.open('.', O_RDONLY)
    const seen = new Map<string, number>()
    const places: { name: string; before: bigint }[] = []
    for (let at = 0n, batch = 0; ; batch++) {
      const entries = await d.getdents(fd, 65_536)
      if (entries.length === 0) break
      places.push({ name: entries[0]?.name ?? '', before: at })
      for (const { name, next } of entries) {
        seen.set(name, (seen.get(name) ?? 0) + 1)
        at = next
      }
      // Names come and go while it is read.
      await c.unlink(`f${batch}`)
      await c.makeMany(`new${batch}-`, 1)
    }
    const old = [...seen.keys()].filter((name) => /^f\d+$/.test(name))
    const removed = places.length + 1
    expect(old.length).toBeGreaterThanOrEqual(count - removed)
    expect([...seen].filter(([, times]) => times > 1)).toEqual([])
    // A place that was told once is good as long as the directory is open, whatever has changed.
    const still = places.filter(({ name }) => /^f\d+$/.test(name) && Number(name.slice(1)) > removed)
    for (const { name, before } of still.slice(0, 20)) {
      await d.lseek(fd, before, SEEK_SET)
      expect((await d.getdents(fd, 4096))[0]?.name).toBe(name)
    }
    expect((await c.readdir('.')).length).toBe(count)
    await d.close(fd)
    await c.chdir('..')
    await d.chdir('..')
    execFileSync('rm', ['-r', join(mounted.path, 'many')])
    expect(await c.readdir('.')).toEqual([])
  }, 120_000)
})

describe('a file of 100 GiB', () => {
  it('is written at its ends, mapped, searched for holes and cut, and takes only what is in it', async () => {
    await open()
    const fd = await c.open('huge', O_RDWR | O_CREAT)
    await c.ftruncate(fd, 100 * GIB)
    await c.write(fd, 'first', 0)
    await c.write(fd, 'last', 100 * GIB - 4)
    await c.fsync(fd)
    const reader = await d.open('huge', O_RDONLY)
    expect(await d.read(reader, 10, 100 * GIB - 4)).toBe('last')
    expect(await d.read(reader, 4, 50 * GIB)).toBe('\0\0\0\0')
    expect(await d.lseek(reader, 4096, SEEK_DATA)).toBe(100 * GIB - 4096)
    expect(await d.lseek(reader, 0, SEEK_HOLE)).toBe(4096)
    expect((await mounted.view.usage()).bytes).toBe(2 * 4096)
    await c.ftruncate(fd, 99 * GIB)
    expect((await mounted.view.usage()).bytes).toBe(4096)
    await c.close(fd)
    await d.close(reader)
    for (const caller of [c, d]) await caller.chdir('/')
    await mounted.remount()
    for (const caller of [c, d]) await caller.chdir(mounted.path)
    expect((await c.stat('huge')).size).toBe(99 * GIB)
    expect(await c.read(await c.open('huge', O_RDONLY), 5, 0)).toBe('first')
  })
})

describe('a large sparse file of the base', () => {
  it('is read anywhere, and written after it was copied', async () => {
    const base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
    try {
      fs.writeFileSync(join(base, 'large'), 'first')
      fs.truncateSync(join(base, 'large'), LARGE_OF_BASE)
      await open(base)
    } finally {
      fs.rmSync(base, { recursive: true })
    }
    const fd = await c.open('large', O_RDWR)
    expect(await c.read(fd, 5, 0)).toBe('first')
    expect(await c.read(fd, 10, LARGE_OF_BASE - 4)).toBe('\0\0\0\0')
    await c.write(fd, 'last', LARGE_OF_BASE - 4)
    await c.fsync(fd)
    expect(await d.read(await d.open('large', O_RDONLY), 10, LARGE_OF_BASE - 4)).toBe('last')
    expect(await d.read(await d.open('large', O_RDONLY), 5, 0)).toBe('first')
  }, 120_000)
})

describe('processes that wait for each other', () => {
  it('get a lock when it is let go, and are broken off by a signal', async () => {
    await open()
    await c.writeFile('file', 'x')
    for (const kind of ['flock', 'posix'] as const) {
      const [one, other] = [await c.open('file', O_RDWR), await d.open('file', O_RDWR)]
      const take = (caller: Caller, fd: number) =>
        kind === 'flock' ? caller.answer('flock', fd, LOCK_EX) : caller.answer('lockWaiting', fd, F_WRLCK, 0, 1)
      const release = () => (kind === 'flock' ? c.flock(one, LOCK_UN) : c.lock(one, F_UNLCK, 0, 1))
      expect(await take(c, one)).toEqual({ value: 0 })
      const waiting = take(d, other)
      await waitsForLock(d.pid)
      await release()
      expect(await waiting).toEqual({ value: 0 })
      await d.close(other)
      expect(await take(c, one)).toEqual({ value: 0 })
      await using third = await startCaller(mounted.path, OWNER)
      const fd = await third.open('file', O_RDWR)
      const never = kind === 'flock' ? third.dies('flock', fd, LOCK_EX) : third.dies('lockWaiting', fd, F_WRLCK, 0, 1)
      await waitsForLock(third.pid)
      process.kill(third.pid, 'SIGTERM')
      expect(await never).toBe('SIGTERM')
      await c.close(one)
    }
  })

  it('poll a file, which is always ready, and a FIFO, which is when the other has written', async () => {
    await open()
    await c.writeFile('file', 'x')
    expect(await c.poll(await c.open('file', O_RDWR), POLLIN | POLLOUT)).toBe(POLLIN | POLLOUT)
    await c.mknod('fifo', 0o010600)
    const reader = await c.open('fifo', O_RDONLY | O_NONBLOCK)
    const writer = await d.open('fifo', O_RDWR | O_NONBLOCK)
    expect(await c.poll(reader, POLLIN)).toBe(0)
    await d.write(writer, 'through')
    expect(await c.poll(reader, POLLIN)).toBe(POLLIN)
    expect(await c.read(reader, 100)).toBe('through')
  })

  it('meet at a socket that is bound on the view', async () => {
    await open()
    fs.chmodSync(mounted.path, 0o777)
    await c.mkdir('dir')
    // By way of a short path: a socket's is 107 bytes at most.
    const near = `/proc/${process.pid}/fd/${fs.openSync(mounted.path, 'r')}`
    const server = net.createServer((socket) => socket.end('heard'))
    await new Promise<void>((resolve) => server.listen(`${near}/socket`, resolve))
    const heard = await new Promise((resolve, reject) => {
      net
        .connect(`${near}/socket`)
        .on('data', (data) => resolve(String(data)))
        .on('error', reject)
    })
    expect(heard).toBe('heard')
    expect((await c.lstat('socket')).mode & 0o170000).toBe(0o140000)
    await new Promise((resolve) => server.close(resolve))
    fs.closeSync(Number(near.split('/').at(-1)))
  })
})

describe('a mapping that is kept', () => {
  it('and what is read and written by calls, inside and from outside, are one', async () => {
    await open()
    await c.writeFile('file', 'a'.repeat(4096))
    const map = await c.mapKeep(await c.open('file', O_RDWR))
    const fd = await d.open('file', O_RDWR)
    await d.write(fd, 'by write', 0)
    expect(await c.mapRead(map, 8)).toBe('by write')
    await c.mapChange(map, 'by map')
    expect(await d.read(fd, 8, 0)).toBe('by mapte')
    expect(await readOutside('file', 8)).toBe('by mapte')
    await mounted.view.write('file', 'owner', chunks(' from outside'), { append: true })
    expect(await d.read(fd, 100, 4096)).toBe(' from outside')
    expect(await c.mapRead(map, 8)).toBe('by mapte')
  })
})

/** The kernel's list of locks has it as one that waits. */
async function waitsForLock(pid: number): Promise<void> {
  const line = new RegExp(`-> (FLOCK|POSIX) .* ${pid} `)
  await expect.poll(() => line.test(fs.readFileSync('/proc/locks', 'latin1'))).toBe(true)
}

async function readOutside(path: string, length: number): Promise<string> {
  const found: Buffer[] = []
  for await (const chunk of mounted.view.read(path, 'owner', 0, length)) found.push(chunk)
  return Buffer.concat(found).toString('latin1')
}

async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
