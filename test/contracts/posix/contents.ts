import { expect } from 'vitest'
import type { Cases } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND] = [0, 1, 2, 0o100, 0o200, 0o1000, 0o2000]
const [O_DIRECT, O_TMPFILE] = [0o40000, 0o20200000]
const [SEEK_SET, SEEK_DATA, SEEK_HOLE] = [0, 3, 4]
const [KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE] = [1, 2, 8, 16]
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8]
const GIB = 2 ** 30

export const CONTENTS: Cases = {
  'what is written anywhere is read there, zeros where nothing was': async ({ c }) => {
    const fd = await c.open('file', O_RDWR)
    await c.write(fd, 'Y', 1)
    await c.write(fd, 'end', 70_000)
    expect(await c.read(fd, 10, 0)).toBe('hYllo\0\0\0\0\0')
    expect(await c.read(fd, 10, 69_998)).toBe('\0\0end')
    expect(await c.read(fd, 10, 80_000)).toBe('')
    expect((await c.fstat(fd)).size).toBe(70_003)
    await c.close(fd)
  },
  'a descriptor does only what it was opened for': async ({ c }) => {
    const reading = await c.open('file', O_RDONLY)
    expect(await c.errno('write', reading, 'x')).toBe('EBADF')
    expect(await c.errno('ftruncate', reading, 0)).toBe('EINVAL')
    const writing = await c.open('file', O_WRONLY)
    expect(await c.errno('read', writing, 1)).toBe('EBADF')
    expect(await c.errno('open', 'dir', O_WRONLY)).toBe('EISDIR')
    expect(await c.errno('open', 'dir', O_RDONLY | O_CREAT)).toBe('EISDIR')
    const directory = await c.open('dir', O_RDONLY)
    expect(await c.errno('read', directory, 1)).toBe('EISDIR')
    expect(await c.errno('truncate', 'dir', 0)).toBe('EISDIR')
    for (const fd of [reading, writing, directory]) await c.close(fd)
  },
  'truncation cuts and extends, with zeros': async ({ c }) => {
    await c.truncate('large', 10)
    expect(await c.readFile('large')).toBe('x'.repeat(10))
    await c.truncate('large', 50_000)
    expect(await c.readFile('large')).toBe('x'.repeat(10) + '\0'.repeat(49_990))
    await c.truncate('file', 3)
    await c.truncate('file', 7)
    expect(await c.readFile('file')).toBe('hel\0\0\0\0')
    const fd = await c.open('file', O_WRONLY | O_TRUNC)
    expect((await c.fstat(fd)).size).toBe(0)
    await c.close(fd)
  },
  'several writers append without writing over each other': async ({ c, d }) => {
    const [one, two] = [await c.open('file', O_WRONLY | O_APPEND), await d.open('file', O_WRONLY | O_APPEND)]
    for (let at = 0; at < 50; at++) {
      await c.write(one, 'one')
      await d.write(two, 'two')
    }
    expect(await c.readFile('file')).toBe(`hello${'onetwo'.repeat(50)}`)
    await c.close(one)
    await d.close(two)
  },
  'what one process writes, another reads at once': async ({ c, d }) => {
    const [one, two] = [await c.open('large', O_RDWR), await d.open('large', O_RDWR)]
    for (let at = 0; at < 20; at++) {
      await c.write(one, `c${at}.`, at * 5000)
      expect(await d.read(two, `c${at}.`.length, at * 5000)).toBe(`c${at}.`)
      await d.write(two, `d${at}.`, at * 5000)
      expect(await c.read(one, `d${at}.`.length, at * 5000)).toBe(`d${at}.`)
    }
    await c.close(one)
    await d.close(two)
  },
  'a read-only file can be written by whoever makes it': async ({ c, uid }) => {
    const fd = await c.open('mine', O_CREAT | O_EXCL | O_RDWR, 0o444)
    await c.write(fd, 'once')
    await c.close(fd)
    expect(await c.readFile('mine')).toBe('once')
    if (uid !== 0) expect(await c.errno('open', 'mine', O_WRONLY)).toBe('EACCES')
  },
  'O_DIRECT reads and writes what others see': async ({ c, d }) => {
    const fd = await c.open('large', O_RDWR | O_DIRECT)
    const other = await d.open('large', O_RDONLY)
    expect(await d.read(other, 4, 4096)).toBe('xxxx')
    // Unaligned buffers are refused by ext4 and taken by others: the answer is one of the two.
    const written = await c.answer('write', fd, 'y'.repeat(4096), 4096)
    const expected = 'value' in written ? 'yyyy' : 'xxxx'
    expect(await d.read(other, 4, 4096)).toBe(expected)
    await c.close(fd)
    await d.close(other)
  },
  'a shared mapping and the file are one, a private one is not': async ({ c, d }) => {
    const fd = await c.open('large', O_RDWR)
    expect(await c.mapWrite(fd, true, 100, 'mapped', true)).toBe('xxxxxx')
    expect(await d.read(await d.open('large', O_RDONLY), 8, 99)).toBe('xmappedx')
    await c.write(fd, 'W', 100)
    expect(await c.mapWrite(fd, false, 100, 'private', false)).toBe('Wappedx')
    expect(await c.read(fd, 8, 99)).toBe('xWappedx')
    await c.close(fd)
  },
  'a shared mapping is in the file after a remount': async ({ c, remount }) => {
    const fd = await c.open('large', O_RDWR)
    await c.mapWrite(fd, true, 4000, 'kept', false)
    await c.close(fd)
    await remount()
    expect((await c.readFile('large')).slice(3999, 4005)).toBe('xkeptx')
  },
  'a file without a name can be given one, unless it must not': async ({ c, able }) => {
    able('tmpfile')
    const fd = await c.open('dir', O_TMPFILE | O_RDWR, 0o640)
    expect(await c.fstat(fd)).toMatchObject({ nlink: 0, size: 0 })
    await c.write(fd, 'unnamed')
    expect(await c.readdir('dir')).toEqual(['inner'])
    await c.linkFd(fd, 'dir/named')
    expect(await c.readFile('dir/named')).toBe('unnamed')
    expect((await c.lstat('dir/named')).mode & 0o7777).toBe(0o640)
    expect((await c.fstat(fd)).nlink).toBe(1)
    const never = await c.open('dir', O_TMPFILE | O_EXCL | O_RDWR, 0o600)
    expect(await c.errno('linkFd', never, 'dir/never')).toBe('ENOENT')
    expect(await c.errno('open', 'dir', O_TMPFILE | O_RDONLY)).toBe('EINVAL')
    expect(await c.errno('open', 'file', O_TMPFILE | O_RDWR)).toBe('ENOTDIR')
    await c.close(fd)
    await c.close(never)
  },
  'a file of 100 GiB takes no room where nothing is written': async ({ c, able }) => {
    able('seekHole')
    const fd = await c.open('sparse', O_CREAT | O_RDWR)
    await c.ftruncate(fd, 100 * GIB)
    await c.write(fd, 'middle', 50 * GIB)
    expect(await c.fstat(fd)).toMatchObject({ size: 100 * GIB })
    expect(await c.read(fd, 6, 50 * GIB)).toBe('middle')
    expect(await c.read(fd, 4, 99 * GIB)).toBe('\0\0\0\0')
    expect(await c.lseek(fd, 0, SEEK_DATA)).toBe(50 * GIB)
    expect(await c.lseek(fd, 50 * GIB, SEEK_HOLE)).toBe(50 * GIB + 4096)
    expect(await c.errno('lseek', fd, 51 * GIB, SEEK_DATA)).toBe('ENXIO')
    await c.fsync(fd)
    expect((await c.fstat(fd)).blocks).toBeLessThan(64)
    await c.close(fd)
  },
  'holes and data are told apart': async ({ c, able }) => {
    able('seekHole', 'fallocate')
    const fd = await c.open('large', O_RDWR)
    expect(await c.lseek(fd, 10, SEEK_DATA)).toBe(10)
    expect(await c.lseek(fd, 10, SEEK_HOLE)).toBe(100_000)
    expect(await c.errno('lseek', fd, 100_000, SEEK_DATA)).toBe('ENXIO')
    expect(await c.errno('lseek', fd, 100_001, SEEK_HOLE)).toBe('ENXIO')
    expect(await c.lseek(fd, 7, SEEK_SET)).toBe(7)
    await c.write(fd, 'y'.repeat(5000), 99_000)
    expect(await c.lseek(fd, 103_000, SEEK_DATA)).toBe(103_000)
    expect(await c.lseek(fd, 103_000, SEEK_HOLE)).toBe(104_000)
    await c.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 8192, 16_384)
    expect(await c.lseek(fd, 0, SEEK_HOLE)).toBe(8192)
    expect(await c.lseek(fd, 8192, SEEK_DATA)).toBe(24_576)
    expect(await c.read(fd, 4, 8190)).toBe('xx\0\0')
    await c.close(fd)
  },
  'fallocate makes, keeps and clears': async ({ c, able }) => {
    able('fallocate')
    const fd = await c.open('large', O_RDWR)
    await c.fallocate(fd, KEEP_SIZE, 0, 300_000)
    expect((await c.fstat(fd)).size).toBe(100_000)
    expect((await c.fstat(fd)).blocks * 512).toBeGreaterThanOrEqual(300_000)
    await c.fallocate(fd, 0, 100_000, 50_000)
    expect((await c.fstat(fd)).size).toBe(150_000)
    await c.fallocate(fd, ZERO_RANGE, 10, 90_000)
    expect(await c.read(fd, 12, 0)).toBe(`${'x'.repeat(10)}\0\0`)
    expect(await c.read(fd, 12, 90_005)).toBe(`\0\0\0\0\0${'x'.repeat(7)}`)
    expect(await c.errno('fallocate', fd, PUNCH_HOLE, 0, 10)).toBe('ENOTSUP')
    expect(await c.errno('fallocate', fd, 0, 0, 0)).toBe('EINVAL')
    expect(await c.errno('fallocate', fd, 0, -1, 10)).toBe('EINVAL')
    expect(await c.errno('fallocate', fd, COLLAPSE, 1, 10)).toMatch(/ENOTSUP|EINVAL/)
    const small = await c.open('file', O_RDWR)
    await c.fallocate(small, 0, 0, 9)
    expect(await c.readFile('file')).toBe('hello\0\0\0\0')
    await c.fallocate(small, PUNCH_HOLE | KEEP_SIZE, 1, 3)
    expect(await c.readFile('file')).toBe('h\0\0\0o\0\0\0\0')
    const reading = await c.open('file', O_RDONLY)
    expect(await c.errno('fallocate', reading, 0, 0, 10)).toBe('EBADF')
    for (const each of [fd, small, reading]) await c.close(each)
  },
  'copy_file_range copies between files': async ({ c, able }) => {
    able('copyFileRange')
    const [from, to] = [await c.open('large', O_RDONLY), await c.open('file', O_RDWR)]
    let done = 0
    while (done < 60_000) done += await c.copyRange(from, done, to, 5 + done, 60_000 - done)
    expect(await c.readFile('file')).toBe(`hello${'x'.repeat(60_000)}`)
    expect(await c.copyRange(from, 100_000, to, 0, 10)).toBe(0)
    await c.close(from)
    await c.close(to)
  },
  'flock and POSIX locks hold between processes': async ({ c, d }) => {
    const [one, two] = [await c.open('file', O_RDWR), await d.open('file', O_RDWR)]
    await c.flock(one, LOCK_EX | LOCK_NB)
    expect(await d.errno('flock', two, LOCK_SH | LOCK_NB)).toBe('EAGAIN')
    await c.flock(one, LOCK_UN)
    await d.flock(two, LOCK_SH | LOCK_NB)
    await c.flock(one, LOCK_SH | LOCK_NB)
    await c.lock(one, 1, 0, 10)
    expect(await d.errno('lock', two, 1, 5, 10)).toBe('EAGAIN')
    await d.lock(two, 1, 10, 10)
    await c.close(one)
    await d.lock(two, 1, 0, 10)
    await d.close(two)
  },
  'a listing tells each name once, however the directory changes meanwhile': async ({ c, d }) => {
    for (let at = 0; at < 300; at++) await c.writeFile(`dir/file-${at}`, '')
    const fd = await c.open('dir', O_RDONLY)
    const seen = new Map<string, number>()
    for (let round = 0; ; round++) {
      const entries = await c.getdents(fd, 1024)
      if (entries.length === 0) break
      for (const { name } of entries) seen.set(name, (seen.get(name) ?? 0) + 1)
      if (round < 100) await d.unlink(`dir/file-${299 - round}`)
      await d.writeFile(`dir/new-${round}`, '')
    }
    expect([...seen.values()].every((times) => times === 1)).toBe(true)
    for (let at = 0; at < 200; at++) expect(seen.has(`file-${at}`)).toBe(true)
    await c.close(fd)
  },
  'a listing goes on where seekdir puts it': async ({ c }) => {
    for (let at = 0; at < 200; at++) await c.writeFile(`dir/file-${at}`, '')
    const fd = await c.open('dir', O_RDONLY)
    const all = []
    for (let entries = await c.getdents(fd, 4096); entries.length > 0; entries = await c.getdents(fd, 4096))
      all.push(...entries)
    expect(all.length).toBe(203)
    await c.lseek(fd, all[99]?.next ?? 0n, SEEK_SET)
    expect((await c.getdents(fd, 4096))[0]?.name).toBe(all[100]?.name)
    await c.lseek(fd, 0, SEEK_SET)
    expect((await c.getdents(fd, 4096)).map(({ name }) => name)).toContain(all[0]?.name)
    await c.close(fd)
  },
  'syncs of every kind are answered': async ({ c }) => {
    const fd = await c.open('file', O_RDWR)
    await c.write(fd, 'sync', 0)
    await c.fdatasync(fd)
    await c.fsync(fd)
    await c.syncfs(fd)
    await c.close(fd)
    const directory = await c.open('dir', O_RDONLY)
    await c.fsync(directory)
    await c.close(directory)
  },
}
