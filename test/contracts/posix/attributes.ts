import { expect } from 'vitest'
import type { Stat } from '../../fixtures/caller/calls.ts'
import { type Case, type Cases, USER } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT] = [0, 1, 2, 0o100]
const [XATTR_CREATE, XATTR_REPLACE] = [1, 2]
const [R_OK, W_OK, X_OK] = [4, 2, 1]
const OTHER = 23_456

type Times = 'atime' | 'mtime' | 'ctime'

/** Which times of a path a call changes, but for those of access: mounts differ in when those are kept. */
async function changed({ c }: Case, path: string, call: () => Promise<unknown>): Promise<Times[]> {
  const before = await c.lstat(path)
  // Later than the clock's last tick, whatever the filesystem takes its time from.
  await new Promise((resolve) => setTimeout(resolve, 12))
  await call()
  const after = (await c.lstat(path)) as Stat
  return (['mtime', 'ctime'] as const).filter((time) => after[time] !== before[time])
}

export const ATTRIBUTES: Cases = {
  'each call changes the times that POSIX says, of the inode and of its directory': async (given) => {
    const { c } = given
    const rw = await c.open('file', O_RDWR)
    expect(await changed(given, 'file', () => c.write(rw, 'x', 0))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'file', () => c.read(rw, 1, 0))).toEqual([])
    expect(await changed(given, 'file', () => c.ftruncate(rw, 100))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'file', () => c.chmod('file', 0o600))).toEqual(['ctime'])
    expect(await changed(given, 'file', () => c.link('file', 'dir/linked'))).toEqual(['ctime'])
    expect(await changed(given, 'dir', () => c.unlink('dir/linked'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.writeFile('dir/new', ''))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.writeFile('dir/new', 'again'))).toEqual([])
    expect(await changed(given, 'dir', () => c.rename('dir/new', 'dir/newer'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.rename('dir/newer', 'moved'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.mkdir('dir/sub'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.rmdir('dir/sub'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'dir', () => c.symlink('x', 'dir/s'))).toEqual(['mtime', 'ctime'])
    expect(await changed(given, 'moved', () => c.setxattr('moved', 'user.a', '1'))).toEqual(['ctime'])
    await c.close(rw)
  },
  'times are kept to the nanosecond, left alone or set to now': async ({ c, remount, able }) => {
    able('times')
    for (const path of ['file', 'dir', 'link']) {
      await c.utimes(path, [1_000_000_001, 123_456_789], [-5, 1])
      const { atime, mtime } = await c.lstat(path)
      expect([atime, mtime]).toEqual([1_000_000_001_123_456_789n, -4_999_999_999n])
    }
    await c.utimes('file', 'omit', [7, 0])
    expect(await c.lstat('file')).toMatchObject({ atime: 1_000_000_001_123_456_789n, mtime: 7_000_000_000n })
    await c.utimes('file', 'now', 'omit')
    expect((await c.lstat('file')).atime).toBeGreaterThan(1_600_000_000_000_000_000n)
    expect((await c.lstat('file')).mtime).toBe(7_000_000_000n)
    const before = await c.lstat('file')
    await remount()
    expect(await c.lstat('file')).toEqual(before)
  },
  'no file is modified before it is born': async ({ c }) => {
    const names = Array.from({ length: 200 }, (_, n) => `n${n}`)
    const answers = await c.each(names.flatMap((name) => [['writeFile', name, 'x'] as const, ['lstat', name] as const]))
    for (const [n, name] of names.entries()) {
      const { birthtime, mtime, ctime } = (answers[2 * n + 1] as { value: Stat }).value
      expect([name, mtime >= birthtime, ctime >= birthtime]).toEqual([name, true, true])
    }
  },
  'the birth time stays': async ({ c, remount, able }) => {
    able('times')
    await c.writeFile('born', '1')
    const { birthtime } = await c.lstat('born')
    expect(birthtime).toBeGreaterThan(1_600_000_000_000_000_000n)
    await c.utimes('born', [1, 0], [1, 0])
    await c.writeFile('born', '22')
    await c.rename('born', 'moved')
    expect((await c.lstat('moved')).birthtime).toBe(birthtime)
    await remount()
    expect((await c.lstat('moved')).birthtime).toBe(birthtime)
  },
  'inode numbers, modes, sizes and times are the same after a remount': async ({ c, remount }) => {
    await c.writeFile('new', 'n'.repeat(20_000))
    await c.chmod('file', 0o640)
    await c.rename('dir/inner', 'empty/inner')
    const fd = await c.open('large', O_WRONLY)
    await c.write(fd, 'changed', 50_000)
    await c.close(fd)
    const paths = ['.', 'new', 'file', 'large', 'dir', 'empty', 'empty/inner', 'link']
    const before = []
    for (const path of paths) before.push(await c.lstat(path))
    await remount()
    const after = []
    for (const path of paths) after.push(await c.lstat(path))
    const plain = ({ atime: _, birthtime: __, ...rest }: Stat) => rest
    expect(after.map(plain)).toEqual(before.map(plain))
  },
  'modes are what was asked, less the umask': async ({ c }) => {
    await c.umask(0o027)
    await c.close(await c.open('f', O_CREAT | O_WRONLY, 0o666))
    await c.mkdir('m', 0o777)
    await c.mknod('p', 0o010666)
    expect((await c.lstat('f')).mode & 0o7777).toBe(0o640)
    expect((await c.lstat('m')).mode & 0o7777).toBe(0o750)
    expect((await c.lstat('p')).mode & 0o7777).toBe(0o640)
    await c.umask(0)
    await c.close(await c.open('open', O_CREAT | O_WRONLY, 0o666))
    expect((await c.lstat('open')).mode & 0o7777).toBe(0o666)
    await c.chmod('open', 0o4755)
    expect((await c.lstat('open')).mode & 0o7777).toBe(0o4755)
  },
  'what is made belongs to whoever makes it, in a set-group-ID directory to its group': async ({ c, uid, able }) => {
    able('callers')
    await c.writeFile('mine', '')
    await c.mkdir('sub')
    expect(await c.lstat('mine')).toMatchObject({ uid, gid: uid })
    expect(await c.lstat('sub')).toMatchObject({ uid, gid: uid })
    if (uid !== 0) return
    await c.chown('dir', USER, OTHER)
    await c.chmod('dir', 0o2755)
    await c.writeFile('dir/f', '')
    await c.mkdir('dir/d')
    expect(await c.lstat('dir/f')).toMatchObject({ uid: 0, gid: OTHER })
    expect(await c.lstat('dir/d')).toMatchObject({ uid: 0, gid: OTHER })
    expect((await c.lstat('dir/d')).mode & 0o2000).toBe(0o2000)
  },
  'writing, cutting and giving away clear the set-user-ID bit': async ({ c, uid }) => {
    // Root keeps it when it writes (CAP_FSETID).
    if (uid === 0) {
      await c.chmod('file', 0o6755)
      await c.chown('file', OTHER, OTHER)
      expect((await c.lstat('file')).mode & 0o7777).toBe(0o755)
      return
    }
    await c.chmod('file', 0o4755)
    const fd = await c.open('file', O_WRONLY)
    await c.write(fd, 'x', 0)
    expect((await c.lstat('file')).mode & 0o7777).toBe(0o755)
    await c.close(fd)
    await c.chmod('large', 0o6755)
    await c.truncate('large', 10)
    expect((await c.lstat('large')).mode & 0o7777).toBe(0o755)
  },
  'only the owner changes mode and times, only root the owner': async ({ c, uid }) => {
    if (uid === 0) {
      await c.chown('file', OTHER, OTHER)
      await c.lchown('link', OTHER, OTHER)
      expect(await c.lstat('file')).toMatchObject({ uid: OTHER, gid: OTHER })
      expect(await c.lstat('link')).toMatchObject({ uid: OTHER, gid: OTHER })
      return
    }
    expect(await c.errno('chown', 'file', OTHER, -1)).toMatch(/EPERM|ERR_OUT_OF_RANGE/)
    expect(await c.errno('chown', 'file', OTHER, USER)).toBe('EPERM')
    await c.chown('file', USER, USER)
    await c.chmod('file', 0o600)
    await c.utimes('file', [1, 0], [1, 0])
  },
  'permission bits hold for an ordinary user': async ({ c, uid, dir }) => {
    if (uid === 0) return
    await c.chmod('file', 0o000)
    expect(await c.errno('open', 'file', O_RDONLY)).toBe('EACCES')
    expect(await c.errno('open', 'file', O_WRONLY)).toBe('EACCES')
    expect(await c.errno('access', 'file', R_OK)).toBe('EACCES')
    await c.chmod('file', 0o400)
    await c.access('file', R_OK)
    expect(await c.errno('access', 'file', W_OK)).toBe('EACCES')
    expect(await c.errno('access', 'file', X_OK)).toBe('EACCES')
    expect(await c.errno('truncate', 'file', 0)).toBe('EACCES')
    await c.chmod('dir', 0o600)
    expect(await c.errno('lstat', 'dir/inner')).toBe('EACCES')
    expect(await c.errno('open', 'dir/inner', O_RDONLY)).toBe('EACCES')
    expect(await c.errno('chdir', `${dir}/dir`)).toBe('EACCES')
    await c.chmod('dir', 0o500)
    expect(await c.readFile('dir/inner')).toBe('inner')
    expect(await c.errno('unlink', 'dir/inner')).toBe('EACCES')
    expect(await c.errno('mkdir', 'dir/new')).toBe('EACCES')
    expect(await c.errno('open', 'dir/new', O_CREAT | O_WRONLY)).toBe('EACCES')
    expect(await c.errno('rename', 'dir/inner', 'stolen')).toBe('EACCES')
    expect(await c.errno('rename', 'file', 'dir/file')).toBe('EACCES')
    expect(await c.errno('link', 'file', 'dir/file')).toBe('EACCES')
    await c.chmod('dir', 0o300)
    expect(await c.errno('readdir', 'dir')).toBe('EACCES')
    expect(await c.readFile('dir/inner')).toBe('inner')
    await c.chmod('dir', 0o755)
  },
  'in a sticky directory each removes only what is theirs': async ({ c, d, uid, dir, able }) => {
    able('callers')
    if (uid !== 0) return
    await c.mkdir('shared', 0o777)
    await c.chmod('shared', 0o1777)
    await c.writeFile('shared/root', 'r')
    await c.chown('shared', OTHER, OTHER)
    const { startCaller } = await import('../../fixtures/caller/caller.ts')
    await using user = await startCaller(dir, USER)
    expect(await user.errno('unlink', 'shared/root')).toBe('EPERM')
    expect(await user.errno('rename', 'shared/root', 'shared/mine')).toBe('EPERM')
    await user.writeFile('shared/user', 'u')
    await user.rename('shared/user', 'shared/still')
    await user.unlink('shared/still')
    await d.unlink('shared/root')
  },
  'user attributes are kept, listed and removed, with their errors': async ({ c, remount }) => {
    for (const path of ['file', 'large', 'dir']) {
      await c.setxattr(path, 'user.one', 'first')
      await c.setxattr(path, 'user.two', '\0\xff')
      expect(await c.listxattr(path)).toEqual(['user.one', 'user.two'])
      expect(await c.getxattr(path, 'user.two')).toBe('\0\xff')
      expect(await c.getxattr(path, 'user.one', 0)).toBe('5')
      expect(await c.errno('getxattr', path, 'user.none')).toBe('ENODATA')
      expect(await c.errno('removexattr', path, 'user.none')).toBe('ENODATA')
      expect(await c.errno('setxattr', path, 'user.one', 'x', XATTR_CREATE)).toBe('EEXIST')
      expect(await c.errno('setxattr', path, 'user.new', 'x', XATTR_REPLACE)).toBe('ENODATA')
      await c.setxattr(path, 'user.one', 'again', XATTR_REPLACE)
      await c.removexattr(path, 'user.two')
    }
    await remount()
    for (const path of ['file', 'large', 'dir']) {
      expect(await c.listxattr(path)).toEqual(['user.one'])
      expect(await c.getxattr(path, 'user.one')).toBe('again')
    }
    expect(await c.errno('setxattr', 'link', 'user.one', 'x')).toBe('EPERM')
    expect(await c.errno('setxattr', 'file', `user.${'n'.repeat(251)}`, 'x')).toBe('ERANGE')
    expect(await c.errno('setxattr', 'file', 'nonsense', 'x')).toBe('ENOTSUP')
  },
  'an attribute that does not fit what the caller has room for is ERANGE': async ({ c, able }) => {
    able('xattrRoom')
    await c.setxattr('file', 'user.one', 'first')
    expect(await c.errno('getxattr', 'file', 'user.one', 4)).toBe('ERANGE')
    expect(await c.getxattr('file', 'user.one', 5)).toBe('first')
    expect(await c.errno('listxattr', 'file', 8)).toBe('ERANGE')
    expect(await c.listxattr('file', 9)).toEqual(['user.one'])
  },
  'room is told in blocks of 4 KiB': async ({ c }) => {
    await c.writeFile('one', 'x')
    await c.writeFile('many', 'x'.repeat(40_000))
    const [one, many] = [await c.open('one', O_RDONLY), await c.open('many', O_RDONLY)]
    await c.fsync(one)
    await c.fsync(many)
    expect((await c.lstat('one')).blocks).toBe(8)
    expect((await c.lstat('many')).blocks).toBe(80)
    expect((await c.lstat('large')).blocks).toBe(200)
    await c.close(one)
    await c.close(many)
  },
  'the filesystem tells its size and the length of names': async ({ c }) => {
    const { bsize, blocks, bfree, files, ffree } = await c.statfs('.')
    expect(bsize).toBe(4096)
    expect(blocks).toBeGreaterThan(bfree)
    expect(files).toBeGreaterThan(ffree)
  },
}
