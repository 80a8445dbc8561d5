import { expect } from 'vitest'
import { outcome } from './outcome.ts'
import type { Case, Cases } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_APPEND, O_NONBLOCK, O_PATH] = [0, 1, 2, 0o100, 0o2000, 0o4000, 0o10000000]
const S_IFIFO = 0o010000
const [PROT_READ, PROT_WRITE] = [1, 2]
const [SEEK_SET, SEEK_CUR, SEEK_END] = [0, 1, 2]
const [F_RDLCK, F_WRLCK] = [0, 1] as const
const [LOCK_SH, LOCK_NB] = [1, 4]
const [POLLIN, POLLOUT] = [1, 4]

/** What each call answers for a descriptor, by what is open and how. */
async function expectOnDescriptors(
  { c }: Case,
  fds: Readonly<Record<string, number>>,
  rows: Readonly<
    Record<string, readonly [wanted: Readonly<Record<string, string>>, tried: (fd: number) => Promise<unknown>]>
  >,
): Promise<void> {
  for (const [what, [wanted, tried]] of Object.entries(rows)) {
    const got: Record<string, string> = {}
    for (const name of Object.keys(wanted)) got[name] = await outcome(() => tried(fds[name] ?? -1))
    expect({ what, ...got }).toEqual({ what, ...wanted })
  }
  for (const fd of Object.values(fds)) await c.close(fd)
}

export const DESCRIPTORS: Cases = {
  'a descriptor answers by what is open and how': async (given) => {
    const { c } = given
    await c.mknod('fifo', S_IFIFO | 0o644)
    const fds = {
      both: await c.open('file', O_RDWR),
      reading: await c.open('file', O_RDONLY),
      writing: await c.open('file', O_WRONLY),
      appending: await c.open('file', O_RDWR | O_APPEND),
      directory: await c.open('dir', O_RDONLY),
      fifo: await c.open('fifo', O_RDWR | O_NONBLOCK),
      path: await c.open('file', O_PATH),
    }
    const elsewhere = await c.open('large', O_RDWR)
    await expectOnDescriptors(
      given,
      { ...fds, elsewhere },
      {
        read: [
          { both: 'ok', reading: 'ok', writing: 'EBADF', directory: 'EISDIR', fifo: 'EAGAIN', path: 'EBADF' },
          (fd) => c.read(fd, 1),
        ],
        pread: [
          { both: 'ok', writing: 'EBADF', directory: 'EISDIR', fifo: 'ESPIPE', path: 'EBADF' },
          (fd) => c.read(fd, 1, 0),
        ],
        write: [
          { both: 'ok', reading: 'EBADF', writing: 'ok', directory: 'EBADF', path: 'EBADF' },
          (fd) => c.write(fd, 'x'),
        ],
        pwrite: [
          { both: 'ok', reading: 'EBADF', directory: 'EBADF', fifo: 'ESPIPE', path: 'EBADF' },
          (fd) => c.write(fd, 'x', 0),
        ],
        lseek: [{ both: 'ok', directory: 'ok', fifo: 'ESPIPE', path: 'EBADF' }, (fd) => c.lseek(fd, 0, SEEK_SET)],
        ftruncate: [
          { both: 'ok', reading: 'EINVAL', directory: 'EINVAL', fifo: 'EINVAL', path: 'EBADF' },
          (fd) => c.ftruncate(fd, 5),
        ],
        fsync: [{ both: 'ok', reading: 'ok', directory: 'ok', fifo: 'EINVAL', path: 'EBADF' }, (fd) => c.fsync(fd)],
        fdatasync: [
          { both: 'ok', reading: 'ok', directory: 'ok', fifo: 'EINVAL', path: 'EBADF' },
          (fd) => c.fdatasync(fd),
        ],
        fstat: [{ both: 'ok', directory: 'ok', fifo: 'ok', path: 'ok' }, (fd) => c.fstat(fd)],
        fchmod: [{ both: 'ok', directory: 'ok', fifo: 'ok', path: 'EBADF' }, (fd) => c.fchmod(fd, 0o755)],
        fchown: [
          { both: 'ok', directory: 'ok', fifo: 'ok', path: 'EBADF' },
          (fd) => c.fchown(fd, given.uid, given.uid),
        ],
        getdents: [{ both: 'ENOTDIR', directory: 'ok', fifo: 'ENOTDIR', path: 'EBADF' }, (fd) => c.getdents(fd, 1024)],
        flock: [{ both: 'ok', reading: 'ok', directory: 'ok', path: 'EBADF' }, (fd) => c.flock(fd, LOCK_SH | LOCK_NB)],
        'a lock to read': [
          { both: 'ok', reading: 'ok', writing: 'EBADF', path: 'EBADF' },
          (fd) => c.lock(fd, F_RDLCK, 0, 1),
        ],
        'a lock to write': [
          { both: 'ok', reading: 'EBADF', writing: 'ok', path: 'EBADF' },
          (fd) => c.lock(fd, F_WRLCK, 0, 1),
        ],
        'a mapping to read': [
          { both: 'ok', reading: 'ok', writing: 'EACCES', directory: 'ENODEV', fifo: 'ENODEV', path: 'EBADF' },
          (fd) => c.mmap(fd, PROT_READ, true),
        ],
        'a shared mapping to write': [
          { both: 'ok', reading: 'EACCES', writing: 'EACCES', appending: 'ok', directory: 'EACCES', path: 'EBADF' },
          (fd) => c.mmap(fd, PROT_READ | PROT_WRITE, true),
        ],
        'a private mapping to write': [
          { both: 'ok', reading: 'ok', writing: 'EACCES', path: 'EBADF' },
          (fd) => c.mmap(fd, PROT_READ | PROT_WRITE, false),
        ],
        'sendfile from': [
          { both: 'ok', reading: 'ok', writing: 'EBADF', path: 'EBADF' },
          (fd) => c.sendfile(elsewhere, fd, 0, 3),
        ],
        'sendfile to': [
          { both: 'ok', reading: 'EBADF', appending: 'EINVAL', path: 'EBADF' },
          (fd) => c.sendfile(fd, elsewhere, 0, 3),
        ],
        'splice from': [
          { both: 'ok', reading: 'ok', writing: 'EBADF', path: 'EBADF' },
          (fd) => c.splice(elsewhere, fd, 0, 3),
        ],
      },
    )
  },
  'fallocate and copy_file_range answer by what is open and how': async (given) => {
    given.able('fallocate', 'copyFileRange')
    const { c } = given
    await c.mknod('fifo', S_IFIFO | 0o644)
    const elsewhere = await c.open('large', O_RDWR)
    const fds = {
      both: await c.open('file', O_RDWR),
      reading: await c.open('file', O_RDONLY),
      writing: await c.open('file', O_WRONLY),
      appending: await c.open('file', O_RDWR | O_APPEND),
      directory: await c.open('dir', O_RDONLY),
      fifo: await c.open('fifo', O_RDWR | O_NONBLOCK),
      path: await c.open('file', O_PATH),
    }
    await expectOnDescriptors(
      given,
      { ...fds, elsewhere },
      {
        fallocate: [
          { both: 'ok', reading: 'EBADF', directory: 'EBADF', fifo: 'ESPIPE', path: 'EBADF' },
          (fd) => c.fallocate(fd, 0, 0, 10),
        ],
        'copy from': [
          { both: 'ok', reading: 'ok', writing: 'EBADF', directory: 'EISDIR', fifo: 'EINVAL', path: 'EBADF' },
          (fd) => c.copyRange(fd, 0, elsewhere, 0, 3),
        ],
        'copy to': [
          { both: 'ok', reading: 'EBADF', writing: 'ok', appending: 'EBADF', fifo: 'EINVAL', path: 'EBADF' },
          (fd) => c.copyRange(elsewhere, 0, fd, 0, 3),
        ],
      },
    )
    expect(await c.errno('fsync', elsewhere)).toBe('EBADF')
  },
  'offsets and sizes that cannot be are refused': async ({ c }) => {
    const fd = await c.open('file', O_RDWR)
    expect(await c.errno('lseek', fd, -1, SEEK_SET)).toBe('EINVAL')
    expect(await c.errno('lseek', fd, -6, SEEK_END)).toBe('EINVAL')
    expect(await c.lseek(fd, -2, SEEK_END)).toBe(3)
    expect(await c.lseek(fd, 4, SEEK_CUR)).toBe(7)
    expect(await c.errno('lseek', fd, 0, 9)).toBe('EINVAL')
    expect(await c.errno('write', fd, 'x', -1)).toBe('EINVAL')
    expect(await c.errno('ftruncate64', fd, -1n)).toBe('EINVAL')
    expect(await c.errno('ftruncate64', fd, 2n ** 45n)).toBe('EFBIG')
    expect((await c.fstat(fd)).size).toBe(5)
    // Where the kernel gathers writes, it hears of this when it sends them (ADR 11).
    const written = await c.answer('write', fd, 'x', 2 ** 45)
    if ('value' in written) expect(await c.errno('fsync', fd)).toBe('EFBIG')
    else expect(written.errno).toBe('EFBIG')
    await c.close(fd)
  },
  'vectors, sendfile and splice move what read and write do': async ({ c }) => {
    const fd = await c.open('file', O_RDWR)
    expect(await c.writev(fd, ['one', '', 'three'], 2)).toBe(8)
    expect(await c.readv(fd, [4, 10], 0)).toBe('heonethree')
    const large = await c.open('large', O_RDWR)
    expect(await c.sendfile(large, fd, 2, 8)).toBe(8)
    expect(await c.read(large, 12, 0)).toBe('onethreexxxx')
    expect(await c.splice(large, fd, 5, 100)).toBe(5)
    expect(await c.read(large, 16, 0)).toBe('onethreethreexxx')
    expect(await c.sendfile(large, fd, 10, 8)).toBe(0)
    await c.close(fd)
    await c.close(large)
  },
  'poll says that a file can always be read and written': async ({ c }) => {
    await c.mknod('fifo', S_IFIFO | 0o644)
    const [fd, fifo] = [await c.open('file', O_RDWR), await c.open('fifo', O_RDWR | O_NONBLOCK)]
    expect(await c.poll(fd, POLLIN | POLLOUT)).toBe(POLLIN | POLLOUT)
    expect(await c.poll(fifo, POLLIN)).toBe(0)
    await c.write(fifo, 'x')
    expect(await c.poll(fifo, POLLIN)).toBe(POLLIN)
    await c.close(fd)
    await c.close(fifo)
  },
  'a program that is open to write is not run (ETXTBSY), and is when it is closed': async ({ c }) => {
    const fd = await c.open('program', O_CREAT | O_WRONLY, 0o755)
    await c.write(fd, '#!/bin/sh\nexit 7\n')
    expect(await c.errno('execute', './program')).toBe('ETXTBSY')
    await c.close(fd)
    expect(await c.execute('./program')).toBe(7)
    await c.chmod('program', 0o644)
    expect(await c.errno('execute', './program')).toBe('EACCES')
    expect(await c.errno('execute', './dir')).toBe('EACCES')
  },
}
