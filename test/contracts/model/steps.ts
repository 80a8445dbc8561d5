import fc from 'fast-check'
import type { Calls } from '../../fixtures/caller/calls.ts'

/** One call by one of the processes. As data, so that a sequence can be printed, shrunk and made again. */
export interface Step {
  /** Which process. */
  readonly who: number
  readonly call: keyof Calls
  /** A handle stands for the descriptor that its process opened as that, a repeated sign for a text: short to print. */
  readonly args: readonly (Handle | Repeated | string | number | boolean | readonly number[])[]
  /** What it opens is known as this from now on. */
  readonly opens?: number
}

export interface Handle {
  readonly handle: number
}

export interface Repeated {
  readonly repeat: string
  readonly times: number
}

const PROCESSES = 3
export const HANDLES = 3

const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND] = [0, 1, 2, 0o100, 0o200, 0o1000, 0o2000]
/** In all opens: nobody waits at a FIFO. */
const O_NONBLOCK = 0o4000
const [O_DIRECTORY, O_NOFOLLOW, O_TMPFILE] = [0o200000, 0o400000, 0o20200000]
const [S_IFREG, S_IFIFO, S_IFSOCK] = [0o100000, 0o010000, 0o140000]
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16]
const [SEEK_SET, SEEK_CUR, SEEK_END] = [0, 1, 2]
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8]

const handle: fc.Arbitrary<Handle> = fc.record({ handle: fc.nat(HANDLES - 1) })

/** Around where contents move from the index into a file of their own, and around a page. */
const place = fc.oneof(fc.nat(100), fc.constantFrom(4095, 4096, 8192, 16_384), fc.nat(60_000))
const sign = fc.constantFrom('x', 'y', '\0', '\xe9')
const text: fc.Arbitrary<Repeated> = fc.record({
  repeat: sign,
  times: fc.oneof(fc.nat(60), fc.constantFrom(4096, 16_385, 40_000)),
})
const few: fc.Arbitrary<Repeated> = fc.record({ repeat: sign, times: fc.nat(30) })
const mode = fc.constantFrom(0o644, 0o600, 0o755, 0o444, 0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o640)
const USERS = [12_345, 54_321]
const id = fc.constantFrom(...USERS)
/** Far from now, so that a time that was set is told from one that a change has left. */
const time = fc.constantFrom<readonly number[] | 'now' | 'omit'>(
  ...([
    [0, 1],
    [1, 999_999_999],
    [-5, 5],
    [1_000_000_000, 123_456_789],
    [4_000_000_000, 1],
  ] as const),
  'now',
  'omit',
)
const attribute = fc.constantFrom('user.a', 'user.b', 'user.', 'bogus.a')

const flags = fc.oneof(
  fc.constantFrom(O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR | O_APPEND, O_WRONLY | O_APPEND),
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[O_RDWR | O_CREAT, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_APPEND, O_RDWR | O_CREAT | O_EXCL],
    ),
  },
  fc.constantFrom(O_RDWR | O_TRUNC, O_WRONLY | O_CREAT | O_TRUNC, O_RDONLY | O_DIRECTORY, O_RDWR | O_NOFOLLOW),
  fc.constantFrom(O_RDWR | O_TMPFILE, O_RDWR | O_TMPFILE | O_EXCL),
)

/** Any call. There are few names, so that calls meet; now and then one is a byte longer than a name may be. */
export function stepAmong(names: readonly string[]): fc.Arbitrary<Step> {
  const path = pathAmong(names)
  const [one = '', other = ''] = names
  const target = fc.constantFrom(...names, `../${other}`, `${one}/${other}`, '.', 'nowhere')
  return fc.oneof(
    { weight: 10, arbitrary: opening(path) },
    made('close', handle),
    { weight: 2, arbitrary: made('read', handle, fc.constantFrom(10, 5000, 70_000)) },
    { weight: 3, arbitrary: made('read', handle, fc.constantFrom(10, 70_000), place) },
    { weight: 3, arbitrary: made('write', handle, text) },
    { weight: 3, arbitrary: made('write', handle, text, place) },
    made('seekFile', handle, place, fc.constantFrom(SEEK_SET, SEEK_CUR, SEEK_END)),
    made('readByHoles', handle),
    made('writeDirect', path, fc.constantFrom('p', 'q'), fc.integer({ min: 1, max: 5 }), aligned()),
    made('readDirect', path, fc.integer({ min: 1, max: 5 }), aligned()),
    made('mapWriteWithin', handle, fc.nat(4090), few),
    { weight: 2, arbitrary: made('ftruncate', handle, place) },
    made('truncate', path, place),
    made(
      'fallocate',
      handle,
      fc.constantFrom(0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE),
      place,
      fc.integer({ min: 1, max: 30_000 }),
    ),
    made('copyRange', handle, place, handle, place, place),
    made('fsync', handle),
    made('fdatasync', handle),
    made('linkFd', handle, path),

    { weight: 3, arbitrary: made('lstat', path) },
    made('stat', path),
    { weight: 2, arbitrary: made('fstat', handle) },
    made('access', path, fc.nat(7)),
    { weight: 2, arbitrary: made('chmod', path, mode) },
    made('chown', path, id, id),
    made('lchown', path, id, id),
    { weight: 2, arbitrary: made('utimes', path, time, time) },
    made('setxattr', path, attribute, few, fc.constantFrom(0, 1, 2)),
    made('getxattr', path, attribute),
    made('listxattr', path),
    made('removexattr', path, attribute),

    { weight: 4, arbitrary: made('mkdir', path, mode) },
    { weight: 2, arbitrary: made('rmdir', path) },
    { weight: 2, arbitrary: made('unlink', path) },
    { weight: 4, arbitrary: made('rename', path, path) },
    { weight: 2, arbitrary: made('rename2', path, path, fc.constantFrom(0, 1, 2, 2, 3)) },
    { weight: 2, arbitrary: made('link', path, path) },
    { weight: 2, arbitrary: made('symlink', target, path) },
    made('readlink', path),
    made(
      'mknod',
      path,
      fc.constantFrom(S_IFIFO, S_IFSOCK, S_IFREG).map((type) => type | 0o644),
    ),
    { weight: 2, arbitrary: made('readdir', path) },
    made('chdir', path),
    made('fchdir', handle),
    // Where the process is.
    made('readlink', fc.constant('/proc/self/cwd')),

    made('flock', handle, fc.constantFrom(LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB, LOCK_UN)),
    made('lock', handle, fc.constantFrom(0, 1, 2), fc.constantFrom(0, 10), fc.constantFrom(0, 5, 20)),
  )
}

/** A number of them as likely to be small as to be large. */
export function sequence(step: fc.Arbitrary<Step>, most: number): fc.Arbitrary<Step[]> {
  return fc.array(step, { maxLength: most, size: 'max' })
}

function pathAmong(names: readonly string[]): fc.Arbitrary<string> {
  const name = fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...names) },
    { weight: 1, arbitrary: fc.constant('n'.repeat(256)) },
  )
  const below = (count: number) => fc.array(name, { minLength: count, maxLength: count })
  return fc
    .oneof({ weight: 5, arbitrary: below(1) }, { weight: 3, arbitrary: below(2) }, { weight: 1, arbitrary: below(3) })
    .map((all) => all.join('/'))
}

function opening(path: fc.Arbitrary<string>): fc.Arbitrary<Step> {
  return fc
    .tuple(
      made(
        'open',
        path,
        flags.map((all) => all | O_NONBLOCK),
        mode,
      ),
      fc.nat(HANDLES - 1),
    )
    .map(([step, opens]) => ({ ...step, opens }))
}

function made(call: keyof Calls, ...args: fc.Arbitrary<Step['args'][number]>[]): fc.Arbitrary<Step> {
  return fc.tuple(fc.nat(PROCESSES - 1), fc.tuple(...args)).map(([who, values]) => ({ who, call, args: values }))
}

function aligned(): fc.Arbitrary<number> {
  return fc.nat(10).map((block) => block * 4096)
}
