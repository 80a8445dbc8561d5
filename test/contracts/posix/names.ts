import { expect } from 'vitest'
import type { Cases } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW] = [
  0, 1, 2, 0o100, 0o200, 0o200000, 0o400000,
]
const S_IFMT = 0o170000
const [S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK] = [0o100000, 0o010000, 0o140000, 0o020000, 0o060000]
const [NOREPLACE, EXCHANGE] = [1, 2]
const LONG = 'n'.repeat(255)

export const NAMES: Cases = {
  'a missing name is ENOENT, to every call': async ({ c }) => {
    expect(await c.errno('open', 'missing', O_RDONLY)).toBe('ENOENT')
    expect(await c.errno('lstat', 'missing')).toBe('ENOENT')
    expect(await c.errno('unlink', 'missing')).toBe('ENOENT')
    expect(await c.errno('rmdir', 'missing')).toBe('ENOENT')
    expect(await c.errno('rename', 'missing', 'other')).toBe('ENOENT')
    expect(await c.errno('link', 'missing', 'other')).toBe('ENOENT')
    expect(await c.errno('readlink', 'missing')).toBe('ENOENT')
    expect(await c.errno('chmod', 'missing', 0o600)).toBe('ENOENT')
    expect(await c.errno('truncate', 'missing', 0)).toBe('ENOENT')
    expect(await c.errno('utimes', 'missing', 'now', 'now')).toBe('ENOENT')
    expect(await c.errno('mkdir', 'missing/sub')).toBe('ENOENT')
    expect(await c.errno('symlink', 'x', 'missing/sub')).toBe('ENOENT')
    expect(await c.errno('readdir', 'missing')).toBe('ENOENT')
    expect(await c.errno('open', '', O_RDONLY)).toBe('ENOENT')
  },
  'a file in the middle of a path is ENOTDIR': async ({ c }) => {
    expect(await c.errno('open', 'file/x', O_RDONLY)).toBe('ENOTDIR')
    expect(await c.errno('open', 'file/x', O_CREAT | O_WRONLY)).toBe('ENOTDIR')
    expect(await c.errno('mkdir', 'file/x')).toBe('ENOTDIR')
    expect(await c.errno('rename', 'dir', 'file/x')).toBe('ENOTDIR')
    expect(await c.errno('lstat', 'file/')).toBe('ENOTDIR')
    expect(await c.errno('open', 'file', O_RDONLY | O_DIRECTORY)).toBe('ENOTDIR')
    expect(await c.errno('rmdir', 'file')).toBe('ENOTDIR')
    expect(await c.errno('readdir', 'file')).toBe('ENOTDIR')
  },
  'a link that leads to itself is ELOOP, and a link where none is wanted too': async ({ c }) => {
    await c.symlink('loop', 'loop')
    expect(await c.errno('open', 'loop', O_RDONLY)).toBe('ELOOP')
    expect(await c.errno('stat', 'loop/x')).toBe('ELOOP')
    expect(await c.errno('open', 'link', O_RDONLY | O_NOFOLLOW)).toBe('ELOOP')
  },
  'forty links in a row are followed, one more is ELOOP': async ({ c }) => {
    await c.symlink('file', 'l1')
    for (let at = 2; at <= 41; at++) await c.symlink(`l${at - 1}`, `l${at}`)
    expect(await c.readFile('l40')).toBe('hello')
    expect(await c.errno('open', 'l41', O_RDONLY)).toBe('ELOOP')
    expect(await c.readlink('l41')).toBe('l40')
  },
  'a slash at the end asks for a directory': async ({ c }) => {
    expect(await c.errno('open', 'new/', O_CREAT | O_WRONLY)).toBe('EISDIR')
    expect(await c.errno('open', 'file/', O_RDONLY)).toBe('ENOTDIR')
    expect(await c.errno('mknod', 'new/', S_IFIFO | 0o644)).toBe('ENOENT')
    expect(await c.errno('symlink', 'x', 'new/')).toBe('ENOENT')
    expect(await c.errno('link', 'file', 'new/')).toBe('ENOENT')
    expect(await c.errno('rename', 'file', 'new/')).toBe('ENOTDIR')
    expect(await c.errno('unlink', 'file/')).toBe('ENOTDIR')
    expect(await c.errno('unlink', 'link/')).toBe('ENOTDIR')
    await c.mkdir('new/')
    await c.rename('new/', 'newer/')
    await c.rmdir('newer/')
  },
  'a dot names what is there already, and is neither moved nor removed': async ({ c }) => {
    expect(await c.errno('mkdir', '.')).toBe('EEXIST')
    expect(await c.errno('mkdir', 'dir/..')).toBe('EEXIST')
    expect(await c.errno('open', '.', O_CREAT | O_EXCL | O_WRONLY)).toBe('EEXIST')
    expect(await c.errno('unlink', '.')).toBe('EISDIR')
    expect(await c.errno('rmdir', 'empty/.')).toBe('EINVAL')
    expect(await c.errno('link', '.', 'other')).toBe('EPERM')
    expect(await c.errno('rename', 'dir/.', 'other')).toBe('EBUSY')
    expect(await c.errno('rename', 'dir', 'empty/..')).toBe('EBUSY')
    expect((await c.lstat('dir/..')).ino).toBe((await c.lstat('.')).ino)
  },
  'a dangling link is made through, but not when none is wanted': async ({ c }) => {
    await c.symlink('target', 'dangling')
    expect(await c.errno('open', 'dangling', O_CREAT | O_WRONLY | O_NOFOLLOW)).toBe('ELOOP')
    expect(await c.errno('mkdir', 'dangling/sub')).toBe('ENOENT')
    await c.close(await c.open('dangling', O_CREAT | O_WRONLY))
    expect((await c.lstat('target')).size).toBe(0)
  },
  'a name of 255 bytes is taken, one of 256 is ENAMETOOLONG to every call': async ({ c }) => {
    await c.writeFile(LONG, 'long')
    expect(await c.readdir('.')).toContain(LONG)
    expect(await c.readFile(LONG)).toBe('long')
    const longer = `${LONG}n`
    expect(await c.errno('open', longer, O_CREAT | O_WRONLY)).toBe('ENAMETOOLONG')
    expect(await c.errno('lstat', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('mkdir', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('rename', 'file', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('link', 'file', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('symlink', 'x', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('unlink', longer)).toBe('ENAMETOOLONG')
    expect(await c.errno('mknod', longer, S_IFIFO | 0o644)).toBe('ENAMETOOLONG')
    expect(await c.errno('symlink', 'x'.repeat(4096), 'much')).toBe('ENAMETOOLONG')
  },
  'a name may be any bytes but a slash and NUL': async ({ c, able }) => {
    able('byteNames')
    const all = Array.from({ length: 255 }, (_, at) => String.fromCharCode(at + 1)).filter((byte) => byte !== '/')
    const names = [
      all.slice(0, 127).join(''),
      all.slice(127).join(''),
      ' ',
      '\\',
      '.wh.file',
      '.wh..wh..opq',
      '\xff\xfe',
      '-rf',
    ]
    for (const name of names) await c.writeFile(name, name)
    const listed = await c.readdir('.')
    for (const name of names) {
      expect(listed).toContain(name)
      expect(await c.readFile(name)).toBe(name)
    }
  },
  'directories lie in one another until PATH_MAX, and deeper by steps': async ({ c, dir }) => {
    for (let depth = 0; depth < 40; depth++) {
      await c.mkdir(LONG)
      await c.chdir(LONG)
    }
    await c.writeFile('bottom', 'deep')
    expect(await c.readFile('bottom')).toBe('deep')
    expect(await c.errno('lstat', `${`${LONG}/`.repeat(16)}x`)).toBe('ENAMETOOLONG')
    await c.unlink('bottom')
    for (let depth = 0; depth < 40; depth++) {
      await c.chdir('..')
      await c.rmdir(LONG)
    }
    await c.chdir(dir)
  },
  'a name that is taken is EEXIST': async ({ c }) => {
    for (const name of ['file', 'dir', 'link']) {
      expect(await c.errno('open', name, O_CREAT | O_EXCL | O_WRONLY)).toBe('EEXIST')
      expect(await c.errno('mkdir', name)).toBe('EEXIST')
      expect(await c.errno('symlink', 'x', name)).toBe('EEXIST')
      expect(await c.errno('link', 'large', name)).toBe('EEXIST')
      expect(await c.errno('mknod', name, S_IFIFO | 0o644)).toBe('EEXIST')
    }
    await c.symlink('nowhere', 'dangling')
    expect(await c.errno('open', 'dangling', O_CREAT | O_EXCL | O_WRONLY)).toBe('EEXIST')
    await c.writeFile('dangling', 'through')
    expect(await c.readFile('nowhere')).toBe('through')
  },
  'directories are removed by rmdir when empty, files by unlink': async ({ c }) => {
    expect(await c.errno('unlink', 'empty')).toBe('EISDIR')
    expect(await c.errno('rmdir', 'dir')).toBe('ENOTEMPTY')
    expect(await c.errno('rmdir', '.')).toBe('EINVAL')
    expect(await c.errno('rmdir', 'dir/..')).toBe('ENOTEMPTY')
    await c.rmdir('empty')
    await c.unlink('dir/inner')
    await c.rmdir('dir')
    expect(await c.readdir('.')).toEqual(['file', 'large', 'link'])
  },
  'a rename replaces what may be replaced, and refuses the rest': async ({ c }) => {
    expect(await c.errno('rename', 'dir', 'dir/inside')).toBe('EINVAL')
    expect(await c.errno('rename', 'file', 'dir')).toBe('EISDIR')
    expect(await c.errno('rename', 'empty', 'file')).toBe('ENOTDIR')
    expect(await c.errno('rename', 'empty', 'dir')).toBe('ENOTEMPTY')
    await c.rename('file', 'file')
    const { ino } = await c.lstat('file')
    await c.rename('file', 'large')
    expect(await c.readFile('large')).toBe('hello')
    expect((await c.lstat('large')).ino).toBe(ino)
    await c.rename('dir', 'empty')
    expect(await c.readFile('empty/inner')).toBe('inner')
    await c.link('large', 'same')
    await c.rename('large', 'same')
    expect(await c.readdir('.')).toEqual(['empty', 'large', 'link', 'same'])
  },
  'renameat2 does not replace, or exchanges': async ({ c, able }) => {
    able('renameFlags')
    expect(await c.errno('rename2', 'file', 'large', NOREPLACE)).toBe('EEXIST')
    expect(await c.errno('rename2', 'file', 'missing', EXCHANGE)).toBe('ENOENT')
    expect(await c.errno('rename2', 'dir', 'dir/inner', EXCHANGE)).toBe('EINVAL')
    expect(await c.errno('rename2', 'file', 'large', NOREPLACE | EXCHANGE)).toBe('EINVAL')
    await c.rename2('file', 'dir', EXCHANGE)
    expect(await c.readFile('dir')).toBe('hello')
    expect(await c.readdir('file')).toEqual(['inner'])
    await c.rename2('dir', 'moved', NOREPLACE)
    expect(await c.readdir('.')).toEqual(['empty', 'file', 'large', 'link', 'moved'])
  },
  'hard links are one inode, counted': async ({ c, remount }) => {
    await c.link('file', 'dir/second')
    await c.link('dir/second', 'third')
    const { ino } = await c.lstat('file')
    for (const name of ['file', 'dir/second', 'third']) {
      expect(await c.lstat(name)).toMatchObject({ ino, nlink: 3 })
    }
    await c.writeFile('third', 'changed')
    expect(await c.readFile('file')).toBe('changed')
    await c.unlink('file')
    await remount()
    expect(await c.lstat('third')).toMatchObject({ ino, nlink: 2 })
    expect(await c.readFile('dir/second')).toBe('changed')
    expect(await c.errno('link', 'dir', 'x')).toBe('EPERM')
    await c.link('link', 'link2')
    expect((await c.lstat('link2')).nlink).toBe(2)
  },
  'directories count their subdirectories': async ({ c }) => {
    expect((await c.lstat('dir')).nlink).toBe(2)
    await c.mkdir('dir/one')
    await c.mkdir('dir/two')
    expect((await c.lstat('dir')).nlink).toBe(4)
    await c.rename('dir/one', 'empty/one')
    expect((await c.lstat('dir')).nlink).toBe(3)
    expect((await c.lstat('empty')).nlink).toBe(3)
    await c.rmdir('dir/two')
    expect((await c.lstat('dir')).nlink).toBe(2)
  },
  'a symlink keeps its target, whatever it is': async ({ c, able }) => {
    able('byteNames')
    for (const [name, target] of [
      ['s1', 'x'.repeat(4095)],
      ['s2', '/etc/../\xff//'],
      ['s3', '../../../../../../etc/passwd'],
    ] as const) {
      await c.symlink(target, name)
      expect(await c.readlink(name)).toBe(target)
      expect((await c.lstat(name)).size).toBe(target.length)
    }
    expect(await c.errno('readlink', 'file')).toBe('EINVAL')
    expect(await c.errno('symlink', '', 'none')).toBe('ENOENT')
  },
  'FIFOs, sockets and files are made by mknod, devices never': async ({ c, uid, place }) => {
    await c.mknod('fifo', S_IFIFO | 0o640)
    await c.mknod('sock', S_IFSOCK | 0o600)
    await c.mknod('plain', S_IFREG | 0o604)
    expect((await c.lstat('fifo')).mode).toBe(S_IFIFO | 0o640)
    expect((await c.lstat('sock')).mode).toBe(S_IFSOCK | 0o600)
    expect((await c.lstat('plain')).mode).toBe(S_IFREG | 0o604)
    // On a plain directory root may.
    if (place === 'ext4' && uid === 0) return
    expect(await c.errno('mknod', 'null', S_IFCHR | 0o666, 0x103)).toBe('EPERM')
    expect(await c.errno('mknod', 'disk', S_IFBLK | 0o666, 0x800)).toBe('EPERM')
  },
  'a socket has a name that others connect to': async ({ c, d }) => {
    await c.listen('sock')
    expect((await d.lstat('sock')).mode & S_IFMT).toBe(S_IFSOCK)
    await d.connect('sock')
    expect(await d.errno('listen', 'sock')).toBe('EADDRINUSE')
    expect(await d.errno('open', 'sock', O_RDWR)).toBe('ENXIO')
    await c.mknod('nobody', S_IFSOCK | 0o644)
    expect(await d.errno('connect', 'nobody')).toBe('ECONNREFUSED')
    expect(await d.errno('connect', 'file')).toBe('ECONNREFUSED')
    await d.rename('sock', 'moved')
    await d.connect('moved')
    expect(await d.errno('connect', 'sock')).toBe('ENOENT')
  },
  'a FIFO carries bytes from one process to another': async ({ c, d }) => {
    await c.mknod('fifo', S_IFIFO | 0o644)
    const reader = await c.open('fifo', O_RDWR)
    const writer = await d.open('fifo', O_WRONLY)
    await d.write(writer, 'through')
    expect(await c.read(reader, 20)).toBe('through')
    await c.close(reader)
    await d.close(writer)
  },
  'a file open while its last name goes stays whole': async ({ c, d }) => {
    const fd = await c.open('large', O_RDWR)
    await d.unlink('large')
    expect(await c.errno('lstat', 'large')).toBe('ENOENT')
    expect(await c.fstat(fd)).toMatchObject({ nlink: 0, size: 100_000 })
    await c.write(fd, 'still', 99_998)
    expect(await c.read(fd, 20, 99_990)).toBe('xxxxxxxxstill')
    await c.ftruncate(fd, 3)
    expect(await c.read(fd, 20, 0)).toBe('xxx')
    await c.close(fd)
  },
  'a file open while another takes its name stays whole': async ({ c, d }) => {
    const fd = await c.open('file', O_RDWR)
    await d.rename('large', 'file')
    expect(await c.read(fd, 20, 0)).toBe('hello')
    await c.write(fd, 'J', 0)
    expect(await c.fstat(fd)).toMatchObject({ nlink: 0, size: 5 })
    expect((await d.lstat('file')).size).toBe(100_000)
    await c.close(fd)
  },
  'a directory that is removed under a process is empty and takes nothing': async ({ c, d, dir, able }) => {
    able('removedInodes')
    await c.chdir(`${dir}/empty`)
    await d.rmdir('empty')
    expect(await c.errno('open', 'new', O_CREAT | O_WRONLY)).toBe('ENOENT')
    expect(await c.errno('mkdir', 'new')).toBe('ENOENT')
    expect((await c.lstat('.')).nlink).toBe(0)
    await c.chdir(dir)
  },
}
