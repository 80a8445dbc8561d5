import { expect } from 'vitest'
import { startCaller } from '../../fixtures/caller/caller.ts'
import { outcome } from './outcome.ts'
import { type Cases, STRANGER, USER } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_NOATIME] = [0, 1, 2, 0o100, 0o200, 0o1000, 0o1000000]
const S_IFIFO = 0o010000
const [F_OK, X_OK, W_OK, R_OK] = [0, 1, 2, 4]
const AT_EACCESS = 0x200
const EXCHANGE = 2
const GROUP = 34_567

/** Each call of `calls` by a user who may not: what it answers, by its name. */
async function expectErrors(calls: Readonly<Record<string, readonly [string, () => Promise<unknown>]>>): Promise<void> {
  const got: Record<string, string> = {}
  const wanted: Record<string, string> = {}
  for (const [what, [errno, call]] of Object.entries(calls)) {
    wanted[what] = errno
    got[what] = await outcome(call)
  }
  expect(got).toEqual(wanted)
}

// Each case is set up by whoever owns the files, or root; the calls are a stranger's.
export const PERMISSIONS: Cases = {
  'who may only read a file changes nothing of it': async (given) => {
    const other = await given.stranger()
    await given.c.chmod('file', 0o644)
    await expectErrors({
      'open to read': ['ok', async () => other.close(await other.open('file', O_RDONLY))],
      'open to write': ['EACCES', () => other.open('file', O_WRONLY)],
      'open for both': ['EACCES', () => other.open('file', O_RDWR)],
      'open to cut': ['EACCES', () => other.open('file', O_RDONLY | O_TRUNC)],
      'open without marking it read': ['EPERM', () => other.open('file', O_RDONLY | O_NOATIME)],
      'open what is there to make it': ['EACCES', () => other.open('file', O_WRONLY | O_CREAT)],
      truncate: ['EACCES', () => other.truncate('file', 0)],
      chmod: ['EPERM', () => other.chmod('file', 0o777)],
      'chown to oneself': ['EPERM', () => other.chown('file', STRANGER, STRANGER)],
      'times of its own': ['EPERM', () => other.utimes('file', [1, 0], [1, 0])],
      'one time of its own': ['EPERM', () => other.utimes('file', 'omit', [1, 0])],
      'the time it is': ['EACCES', () => other.utimes('file', 'now', 'now')],
      'no time at all': ['ok', () => other.utimes('file', 'omit', 'omit')],
      'set an attribute': ['EACCES', () => other.setxattr('file', 'user.a', '1')],
      'get an attribute': ['ENODATA', () => other.getxattr('file', 'user.a')],
      'remove an attribute': ['EACCES', () => other.removexattr('file', 'user.a')],
      'access to read': ['ok', () => other.access('file', R_OK)],
      'access to write': ['EACCES', () => other.access('file', W_OK)],
      'access to run': ['EACCES', () => other.access('file', X_OK)],
      'faccessat to write': ['EACCES', () => other.faccess('file', W_OK, AT_EACCESS)],
    })
  },
  'who may write to a file of another still does not own it': async (given) => {
    const other = await given.stranger()
    await given.c.chmod('file', 0o666)
    await expectErrors({
      'open to cut': ['ok', async () => other.close(await other.open('file', O_WRONLY | O_TRUNC))],
      'the time it is': ['ok', () => other.utimes('file', 'now', 'now')],
      'times of its own': ['EPERM', () => other.utimes('file', [1, 0], [1, 0])],
      'the time it is, and one of its own': ['EPERM', () => other.utimes('file', 'now', [1, 0])],
      'set an attribute': ['ok', () => other.setxattr('file', 'user.a', '1')],
      chmod: ['EPERM', () => other.chmod('file', 0o777)],
      chown: ['EPERM', () => other.chown('file', STRANGER, STRANGER)],
    })
  },
  'who may not look at a file does not open it': async (given) => {
    const other = await given.stranger()
    await given.c.chmod('file', 0o600)
    await expectErrors({
      'open to read': ['EACCES', () => other.open('file', O_RDONLY)],
      'get an attribute': ['EACCES', () => other.getxattr('file', 'user.a')],
      'access to read': ['EACCES', () => other.access('file', R_OK)],
      'whether it is there': ['ok', () => other.access('file', F_OK)],
      stat: ['ok', () => other.stat('file')],
      readlink: ['ok', () => other.readlink('link')],
    })
  },
  'who may not write to a directory changes no name in it': async (given) => {
    const { c } = given
    const other = await given.stranger()
    await c.mkdir('dir/sub')
    await c.chmod('dir/inner', 0o666)
    await c.chmod('dir', 0o755)
    await expectErrors({
      'open to make': ['EACCES', () => other.open('dir/new', O_CREAT | O_WRONLY)],
      'open what is there to make it': [
        'ok',
        async () => other.close(await other.open('dir/inner', O_CREAT | O_WRONLY)),
      ],
      'open to make it alone': ['EEXIST', () => other.open('dir/inner', O_CREAT | O_EXCL | O_WRONLY)],
      mkdir: ['EACCES', () => other.mkdir('dir/new')],
      'mkdir of what is there': ['EEXIST', () => other.mkdir('dir/sub')],
      mknod: ['EACCES', () => other.mknod('dir/new', S_IFIFO | 0o644)],
      symlink: ['EACCES', () => other.symlink('x', 'dir/new')],
      link: ['EACCES', () => other.link('dir/inner', 'dir/new')],
      unlink: ['EACCES', () => other.unlink('dir/inner')],
      'unlink of what is not there': ['ENOENT', () => other.unlink('dir/new')],
      rmdir: ['EACCES', () => other.rmdir('dir/sub')],
      rename: ['EACCES', () => other.rename('dir/inner', 'dir/new')],
      readdir: ['ok', () => other.readdir('dir')],
    })
  },
  'who may not search a directory reaches nothing in it': async (given) => {
    const { c } = given
    const other = await given.stranger()
    await c.chmod('dir', 0o744)
    await expectErrors({
      readdir: ['ok', () => other.readdir('dir')],
      lstat: ['EACCES', () => other.lstat('dir/inner')],
      'lstat of what is not there': ['EACCES', () => other.lstat('dir/new')],
      open: ['EACCES', () => other.open('dir/inner', O_RDONLY)],
      'open to make': ['EACCES', () => other.open('dir/new', O_CREAT | O_WRONLY)],
      access: ['EACCES', () => other.access('dir/inner', F_OK)],
      chdir: ['EACCES', () => other.chdir('dir')],
      chmod: ['EACCES', () => other.chmod('dir/inner', 0o777)],
      truncate: ['EACCES', () => other.truncate('dir/inner', 0)],
      unlink: ['EACCES', () => other.unlink('dir/inner')],
      rename: ['EACCES', () => other.rename('dir/inner', 'stolen')],
      statfs: ['EACCES', () => other.statfs('dir/inner')],
    })
    await c.chmod('dir', 0o711)
    await expectErrors({
      readdir: ['EACCES', () => other.readdir('dir')],
      lstat: ['ok', () => other.lstat('dir/inner')],
      chdir: ['ok', () => other.chdir('dir')],
    })
  },
  'in a sticky directory only what is theirs is removed, moved or replaced': async (given) => {
    const { c } = given
    given.able('callers')
    const other = await given.stranger()
    await c.mkdir('shared')
    await c.chmod('shared', 0o1777)
    await c.writeFile('shared/file', 'f')
    await c.mkdir('shared/sub')
    await other.writeFile('shared/mine', 'm')
    await other.mkdir('shared/mine-too')
    await expectErrors({
      unlink: ['EPERM', () => other.unlink('shared/file')],
      rmdir: ['EPERM', () => other.rmdir('shared/sub')],
      rename: ['EPERM', () => other.rename('shared/file', 'shared/stolen')],
      'rename over it': ['EPERM', () => other.rename('shared/mine', 'shared/file')],
      'rename a directory over one': ['EPERM', () => other.rename('shared/mine-too', 'shared/sub')],
      'unlink of ones own': ['ok', () => other.unlink('shared/mine')],
      'rmdir of ones own': ['ok', () => other.rmdir('shared/mine-too')],
    })
    await c.unlink('shared/file')
  },
  'an exchange needs the right to both names': async (given) => {
    const { c } = given
    given.able('callers', 'renameFlags')
    const other = await given.stranger()
    await c.mkdir('shared')
    await c.chmod('shared', 0o1777)
    await c.writeFile('shared/file', 'f')
    await other.writeFile('shared/mine', 'm')
    await expectErrors({
      exchange: ['EPERM', () => other.rename2('shared/mine', 'shared/file', EXCHANGE)],
      'the other way round': ['EPERM', () => other.rename2('shared/file', 'shared/mine', EXCHANGE)],
    })
  },
  'a directory of another does not move to another parent': async (given) => {
    const { c } = given
    const other = await given.stranger()
    for (const name of ['from', 'to']) {
      await c.mkdir(name)
      await c.chmod(name, 0o777)
    }
    await c.mkdir('from/theirs')
    await c.chmod('from/theirs', 0o755)
    // Its `..` would change, and that is a write to it.
    await expectErrors({
      'to another parent': ['EACCES', () => other.rename('from/theirs', 'to/theirs')],
      'within its parent': ['ok', () => other.rename('from/theirs', 'from/renamed')],
    })
  },
  'a group has what the group bits give, and no more of what others have': async (given) => {
    const { c, uid } = given
    if (uid !== 0) return
    const other = await given.stranger()
    await c.chown('file', USER, STRANGER)
    await c.chmod('file', 0o604)
    expect(await other.errno('open', 'file', O_RDONLY)).toBe('EACCES')
    await c.chmod('file', 0o040)
    await other.close(await other.open('file', O_RDONLY))
    await c.chown('file', STRANGER, GROUP)
    await c.chmod('file', 0o066)
    expect(await other.errno('open', 'file', O_RDONLY)).toBe('EACCES')
  },
  'the owner gives a file to a group of theirs only, and loses bits by it': async (given) => {
    const { c, uid } = given
    await c.chmod('file', 0o6777)
    if (uid === 0) {
      await c.chown('file', USER, GROUP)
      expect((await c.lstat('file')).mode & 0o7777).toBe(0o777)
      await c.chmod('file', 0o2644)
      await c.chown('file', USER, USER)
      // Without the right to run by the group it is a mark for locking, and stays.
      expect((await c.lstat('file')).mode & 0o7777).toBe(0o2644)
      return
    }
    expect(await c.errno('chown', 'file', USER, GROUP)).toBe('EPERM')
    await c.chown('file', USER, USER)
    expect((await c.lstat('file')).mode & 0o7777).toBe(0o777)
  },
  'a set-group-ID bit is not given to a file of a group that one is not in': async (given) => {
    const { c, uid, dir } = given
    if (uid !== 0) return
    await c.chown('file', USER, GROUP)
    await using owner = await startCaller(dir, USER)
    await owner.chmod('file', 0o2755)
    expect((await c.lstat('file')).mode & 0o7777).toBe(0o755)
  },
  'a write by another clears the bits that would run it as its owner': async (given) => {
    const { c } = given
    const other = await given.stranger()
    for (const how of ['write', 'truncate', 'open to cut'] as const) {
      await c.chmod('file', 0o6777)
      if (how === 'truncate') await other.truncate('file', 1)
      else {
        const fd = await other.open('file', how === 'write' ? O_WRONLY : O_WRONLY | O_TRUNC)
        if (how === 'write') await other.write(fd, 'x')
        await other.close(fd)
      }
      expect({ how, mode: (await c.lstat('file')).mode & 0o7777 }).toEqual({ how, mode: 0o777 })
    }
  },
}
