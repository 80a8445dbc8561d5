import { expect } from 'vitest'
import type { Calls } from '../../fixtures/caller/calls.ts'
import { outcome } from './outcome.ts'
import { type Case, conformance } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC] = [0, 1, 2, 0o100, 0o200, 0o1000]
const [O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_PATH] = [0o4000, 0o200000, 0o400000, 0o10000000]
const [S_IFREG, S_IFIFO, S_IFSOCK] = [0o100000, 0o010000, 0o140000]
const [NOREPLACE, EXCHANGE] = [1, 2]
const F_OK = 0

/** Of the name that each call is tried on: what open(2) and its like tell apart. */
const KINDS = ['file', 'directory', 'link', 'dangling', 'loop', 'fifo', 'socket'] as const
type Kind = (typeof KINDS)[number]

async function make({ c }: Case, kind: Kind, name: string): Promise<void> {
  if (kind === 'file') await c.writeFile(name, 'contents')
  else if (kind === 'directory') await c.mkdir(name)
  else if (kind === 'link') await c.symlink('file', name)
  else if (kind === 'dangling') await c.symlink('nowhere', name)
  else if (kind === 'loop') await c.symlink(name, name)
  else await c.mknod(name, (kind === 'fifo' ? S_IFIFO : S_IFSOCK) | 0o644)
}

/** By kind, in the order of `KINDS`; `ok` where it goes through. */
type Row = readonly [
  file: string,
  directory: string,
  link: string,
  dangling: string,
  loop: string,
  fifo: string,
  socket: string,
]
type Try = (given: Case, name: string) => Promise<unknown>

const FOLLOWED: Row = ['ok', 'ok', 'ok', 'ENOENT', 'ELOOP', 'ok', 'ok']
const TAKEN: Row = ['EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST']
const ANY: Row = ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok']
const AS_DIRECTORY: Row = ['ENOTDIR', 'ok', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENOTDIR', 'ENOTDIR']
const ITSELF_AS_DIRECTORY: Row = ['ENOTDIR', 'ok', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR']

/** Calls `tried` on a new name of each kind; what is there afterwards is removed. */
async function expectByKind(given: Case, what: string, row: Row, tried: Try): Promise<void> {
  const got: Record<string, string> = {}
  const wanted: Record<string, string> = {}
  for (const [index, kind] of KINDS.entries()) {
    const name = `a-${kind}`
    await make(given, kind, name)
    got[kind] = await outcome(() => tried(given, name))
    wanted[kind] = row[index] ?? ''
    await remove(given, name)
    await remove(given, 'other')
  }
  expect({ what, ...got }).toEqual({ what, ...wanted })
}

async function remove({ c }: Case, name: string): Promise<void> {
  const answer = await c.answer('unlink', name)
  if ('errno' in answer && answer.errno === 'EISDIR') await c.rmdir(name)
}

function opening(flags: number): Try {
  return async ({ c }, name) => c.close(await c.open(name, flags | O_NONBLOCK, 0o644))
}

function calling<Name extends keyof Calls>(call: Name, ...more: unknown[]): Try {
  return async ({ c }, name) => {
    const answer = await c.answer(call, name, ...more)
    if ('errno' in answer) throw Object.assign(new Error(answer.errno), { code: answer.errno })
  }
}

/** The same with the name in the second place. */
function callingOn(call: keyof Calls, first: string, ...more: unknown[]): Try {
  return async ({ c }, name) => {
    const answer = await c.answer(call, first, name, ...more)
    if ('errno' in answer) throw Object.assign(new Error(answer.errno), { code: answer.errno })
  }
}

async function expectAll(given: Case, rows: Readonly<Record<string, readonly [Row, Try]>>): Promise<void> {
  for (const [what, [row, tried]] of Object.entries(rows)) await expectByKind(given, what, row, tried)
}

conformance('kinds', {
  'open tells each kind apart': (given) =>
    expectAll(given, {
      'to read': [['ok', 'ok', 'ok', 'ENOENT', 'ELOOP', 'ok', 'ENXIO'], opening(O_RDONLY)],
      'to write': [['ok', 'EISDIR', 'ok', 'ENOENT', 'ELOOP', 'ENXIO', 'ENXIO'], opening(O_WRONLY)],
      'for both': [['ok', 'EISDIR', 'ok', 'ENOENT', 'ELOOP', 'ok', 'ENXIO'], opening(O_RDWR)],
      'to cut': [['ok', 'EISDIR', 'ok', 'ENOENT', 'ELOOP', 'ok', 'ENXIO'], opening(O_RDWR | O_TRUNC)],
      'to make it alone': [TAKEN, opening(O_RDWR | O_CREAT | O_EXCL)],
      'as a directory': [AS_DIRECTORY, opening(O_RDONLY | O_DIRECTORY)],
      'no link': [['ok', 'ok', 'ELOOP', 'ELOOP', 'ELOOP', 'ok', 'ENXIO'], opening(O_RDONLY | O_NOFOLLOW)],
      'by its path alone': [FOLLOWED, opening(O_PATH)],
      'by its path alone, no link': [ANY, opening(O_PATH | O_NOFOLLOW)],
    }),
  'what changes or tells of an inode follows links, or does not': (given) =>
    expectAll(given, {
      stat: [FOLLOWED, calling('stat')],
      lstat: [ANY, calling('lstat')],
      statfs: [FOLLOWED, calling('statfs')],
      access: [FOLLOWED, calling('access', F_OK)],
      chmod: [FOLLOWED, calling('chmod', 0o755)],
      chown: [FOLLOWED, calling('chown', given.uid, given.uid)],
      lchown: [ANY, calling('lchown', given.uid, given.uid)],
      utimensat: [ANY, calling('utimes', [1, 0], [1, 0])],
      truncate: [['ok', 'EISDIR', 'ok', 'ENOENT', 'ELOOP', 'EINVAL', 'EINVAL'], calling('truncate', 1)],
      chdir: [
        AS_DIRECTORY,
        async ({ c, dir }, name) => {
          await c.chdir(name)
          await c.chdir(dir)
        },
      ],
      readlink: [['EINVAL', 'EINVAL', 'ok', 'ok', 'ok', 'EINVAL', 'EINVAL'], calling('readlink')],
      readdir: [AS_DIRECTORY, calling('readdir')],
    }),
  'attributes of users are for files and directories': (given) =>
    expectAll(given, {
      set: [['ok', 'ok', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM'], calling('setxattr', 'user.a', '1')],
      get: [Array(7).fill('ENODATA') as unknown as Row, calling('getxattr', 'user.a')],
      remove: [['ENODATA', 'ENODATA', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM'], calling('removexattr', 'user.a')],
      list: [ANY, calling('listxattr')],
    }),
  'no name that is taken is made again, whatever has it': async (given) => {
    await expectAll(given, {
      mkdir: [TAKEN, calling('mkdir')],
      mknod: [TAKEN, calling('mknod', S_IFREG | 0o644)],
      symlink: [TAKEN, callingOn('symlink', 'x')],
      link: [TAKEN, callingOn('link', 'file')],
    })
  },
  'unlink takes all but directories, rmdir only those': (given) =>
    expectAll(given, {
      unlink: [['ok', 'EISDIR', 'ok', 'ok', 'ok', 'ok', 'ok'], calling('unlink')],
      rmdir: [ITSELF_AS_DIRECTORY, calling('rmdir')],
    }),
  'every kind but a directory has a second name, and every kind moves': (given) =>
    expectAll(given, {
      link: [['ok', 'EPERM', 'ok', 'ok', 'ok', 'ok', 'ok'], calling('link', 'other')],
      rename: [ANY, calling('rename', 'other')],
      'rename to itself': [ANY, ({ c }, name) => c.rename(name, name)],
    }),
  'what a rename may replace': (given) =>
    expectAll(given, {
      'by a file': [
        ['ok', 'EISDIR', 'ok', 'ok', 'ok', 'ok', 'ok'],
        async ({ c }, name) => {
          await c.writeFile('other', '')
          await c.rename('other', name)
        },
      ],
      'by a directory': [
        ITSELF_AS_DIRECTORY,
        async ({ c }, name) => {
          await c.mkdir('other')
          await c.rename('other', name)
        },
      ],
    }),
  'renameat2 exchanges any two kinds, and replaces none when told not to': async (given) => {
    given.able('renameFlags')
    await expectAll(given, {
      'not to replace': [TAKEN, callingOn('rename2', 'file', NOREPLACE)],
      'to exchange': [
        ANY,
        async ({ c }, name) => {
          await c.rename2('file', name, EXCHANGE)
          await c.rename2('file', name, EXCHANGE)
        },
      ],
    })
  },
  'a path goes on only through a directory': (given) =>
    expectAll(given, {
      'to what is not there': [
        ['ENOTDIR', 'ENOENT', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENOTDIR', 'ENOTDIR'],
        ({ c }, name) => c.lstat(`${name}/x`),
      ],
      'with a slash at its end': [AS_DIRECTORY, ({ c }, name) => c.lstat(`${name}/`)],
      'with a dot at its end': [AS_DIRECTORY, ({ c }, name) => c.lstat(`${name}/.`)],
      'to a new directory': [
        AS_DIRECTORY,
        async ({ c }, name) => {
          await c.mkdir(`${name}/x`)
          await c.rmdir(`${name}/x`)
        },
      ],
      'to a new file': [
        AS_DIRECTORY,
        async ({ c }, name) => {
          await c.writeFile(`${name}/x`, '')
          await c.unlink(`${name}/x`)
        },
      ],
      'to be moved into': [
        AS_DIRECTORY,
        async ({ c }, name) => {
          await c.rename('file', `${name}/x`)
          await c.rename(`${name}/x`, 'file')
        },
      ],
    }),
  'nothing moves or links to another filesystem': async ({ c, place }) => {
    if (place === 'ext4') return
    expect(await c.errno('rename', 'file', '/tmp/croft-elsewhere')).toBe('EXDEV')
    expect(await c.errno('link', 'file', '/tmp/croft-elsewhere')).toBe('EXDEV')
    expect(await c.errno('rename', 'dir', '/tmp/croft-elsewhere')).toBe('EXDEV')
  },
})
