import { dirname } from 'node:path'
import { expect } from 'vitest'
import type { Calls } from '../../fixtures/caller/calls.ts'
import type { Case, Cases } from './places.ts'

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC] = [0, 1, 2, 0o100, 0o200, 0o1000]
const [O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_PATH] = [0o4000, 0o200000, 0o400000, 0o10000000]
const [S_IFREG, S_IFIFO, S_IFSOCK] = [0o100000, 0o010000, 0o140000]
const [NOREPLACE, EXCHANGE] = [1, 2]
const F_OK = 0

/** Of the name that each call is tried on: what open(2) and its like tell apart. */
const TRIED = ['file', 'directory', 'link', 'dangling', 'loop', 'fifo', 'socket'] as const

type Step = readonly [call: keyof Calls, ...args: unknown[]]
/** The calls that are tried on a name. */
type Try = (name: string) => readonly Step[]

/** By kind, in the order of `TRIED`; `ok` where it goes through. */
type Row = readonly [
  file: string,
  directory: string,
  link: string,
  dangling: string,
  loop: string,
  fifo: string,
  socket: string,
]

const FOLLOWED: Row = ['ok', 'ok', 'ok', 'ENOENT', 'ELOOP', 'ok', 'ok']
const TAKEN: Row = ['EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EEXIST']
const ANY: Row = ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok']
const WITHOUT: Row = ['ENODATA', 'ENODATA', 'ENODATA', 'ENODATA', 'ENODATA', 'ENODATA', 'ENODATA']
const AS_DIRECTORY: Row = ['ENOTDIR', 'ok', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENOTDIR', 'ENOTDIR']
const ITSELF_AS_DIRECTORY: Row = ['ENOTDIR', 'ok', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR']

function making(kind: (typeof TRIED)[number], name: string): Step {
  if (kind === 'file') return ['writeFile', name, 'contents']
  if (kind === 'directory') return ['mkdir', name]
  if (kind === 'link') return ['symlink', 'file', name]
  if (kind === 'dangling') return ['symlink', 'nowhere', name]
  if (kind === 'loop') return ['symlink', name, name]
  return ['mknod', name, (kind === 'fifo' ? S_IFIFO : S_IFSOCK) | 0o644]
}

/** Tries each on a new name of each kind; what is there afterwards is removed. */
async function expectAll({ c }: Case, rows: Readonly<Record<string, readonly [Row, Try]>>): Promise<void> {
  for (const [what, [row, tried]] of Object.entries(rows)) {
    const got: Record<string, string> = {}
    const wanted: Record<string, string> = {}
    for (const [index, kind] of TRIED.entries()) {
      const name = `a-${kind}`
      const [made, ...answers] = await c.each([making(kind, name), ...tried(name)])
      expect(made).not.toHaveProperty('errno')
      got[kind] = answers.flatMap((answer) => ('errno' in answer ? [answer.errno] : []))[0] ?? 'ok'
      wanted[kind] = row[index] ?? ''
      await c.each(
        [name, 'other'].flatMap((left): Step[] => [
          ['unlink', left],
          ['rmdir', left],
        ]),
      )
    }
    expect({ what, ...got }).toEqual({ what, ...wanted })
  }
}

function opening(flags: number): Try {
  return (name) => [['openAndClose', name, flags | O_NONBLOCK, 0o644]]
}

function calling(call: keyof Calls, ...more: unknown[]): Try {
  return (name) => [[call, name, ...more]]
}

/** The same with the name in the second place. */
function callingOn(call: keyof Calls, first: string, ...more: unknown[]): Try {
  return (name) => [[call, first, name, ...more]]
}

export const KINDS: Cases = {
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
        (name) => [
          ['chdir', name],
          ['chdir', given.dir],
        ],
      ],
      readlink: [['EINVAL', 'EINVAL', 'ok', 'ok', 'ok', 'EINVAL', 'EINVAL'], calling('readlink')],
      readdir: [AS_DIRECTORY, calling('readdir')],
    }),
  'attributes of users are for files and directories': (given) =>
    expectAll(given, {
      set: [['ok', 'ok', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM'], calling('setxattr', 'user.a', '1')],
      get: [WITHOUT, calling('getxattr', 'user.a')],
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
      'rename to itself': [ANY, (name) => [['rename', name, name]]],
    }),
  'what a rename may replace': (given) =>
    expectAll(given, {
      'by a file': [
        ['ok', 'EISDIR', 'ok', 'ok', 'ok', 'ok', 'ok'],
        (name) => [
          ['writeFile', 'other', ''],
          ['rename', 'other', name],
        ],
      ],
      'by a directory': [
        ITSELF_AS_DIRECTORY,
        (name) => [
          ['mkdir', 'other'],
          ['rename', 'other', name],
        ],
      ],
    }),
  'renameat2 exchanges any two kinds, and replaces none when told not to': async (given) => {
    given.able('renameFlags')
    await expectAll(given, {
      'not to replace': [TAKEN, callingOn('rename2', 'file', NOREPLACE)],
      'to exchange': [
        ANY,
        (name) => [
          ['rename2', 'file', name, EXCHANGE],
          ['rename2', 'file', name, EXCHANGE],
        ],
      ],
    })
  },
  'a path goes on only through a directory': (given) =>
    expectAll(given, {
      'to what is not there': [
        ['ENOTDIR', 'ENOENT', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENOTDIR', 'ENOTDIR'],
        (name) => [['lstat', `${name}/x`]],
      ],
      'with a slash at its end': [AS_DIRECTORY, (name) => [['lstat', `${name}/`]]],
      'with a dot at its end': [AS_DIRECTORY, (name) => [['lstat', `${name}/.`]]],
      'to a new directory': [
        AS_DIRECTORY,
        (name) => [
          ['mkdir', `${name}/x`],
          ['rmdir', `${name}/x`],
        ],
      ],
      'to a new file': [
        AS_DIRECTORY,
        (name) => [
          ['writeFile', `${name}/x`, ''],
          ['unlink', `${name}/x`],
        ],
      ],
      'to be moved into': [
        AS_DIRECTORY,
        (name) => [
          ['rename', 'file', `${name}/x`],
          ['rename', `${name}/x`, 'file'],
        ],
      ],
    }),
  'nothing moves or links to another filesystem, and the root of one stays': async ({ c, place, dir, uid }) => {
    if (place === 'ext4') return
    // A user may not write to what it lies in.
    const refused = uid === 0 ? 'EBUSY' : 'EACCES'
    expect(await c.errno('rmdir', dirname(dir))).toBe(refused)
    expect(await c.errno('rename', dirname(dir), '/tmp/croft-elsewhere')).toBe(refused)
    expect(await c.errno('rename', 'file', '/tmp/croft-elsewhere')).toBe('EXDEV')
    expect(await c.errno('link', 'file', '/tmp/croft-elsewhere')).toBe('EXDEV')
    expect(await c.errno('rename', 'dir', '/tmp/croft-elsewhere')).toBe('EXDEV')
  },
}
