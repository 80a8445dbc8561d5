import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

/** Set to `long` for half a minute of each instead of a moment. */
const SECONDS = process.env.CROFT_STRESS === 'long' ? 30 : 1

/**
 * Of stress-ng's class `filesystem`, all but those that work elsewhere (bind-mount, binderfs, procfs, eventfd, ioprio) or
 * on what FUSE does not have (chattr, inode-flags, fiemap, verity, fanotify, handle).
 */
const STRESSORS = [
  ...['access', 'chdir', 'chmod', 'chown', 'copy-file', 'dentry', 'dir', 'dirdeep', 'dirmany', 'dnotify', 'dup'],
  ...['fallocate', 'fcntl', 'file-ioctl', 'filename', 'flock', 'fpunch', 'fsize', 'fstat', 'getdent', 'hdd', 'inotify'],
  ...[
    'io',
    'iomix',
    'lease',
    'link',
    'locka',
    'lockf',
    'lockofd',
    'mknod',
    'open',
    'rename',
    'seek',
    'sendfile',
    'splice',
  ],
  ...['symlink', 'sync-file', 'touch', 'utime', 'xattr', 'readahead', 'mmap'],
]

/** Its instances share a directory, which the first one to end removes, perhaps before another has begun (ENOENT). */
const ALONE = ['fcntl']

let mounted: MountedView
let dir: string

beforeAll(async () => {
  if (!(await has('root', 'fuse'))) return
  dir = mkdtempSync(join(tmpdir(), 'croft-stress-'))
  mounted = await mountedView({ unprivileged: true })
})

afterAll(async () => {
  await mounted?.[Symbol.asyncDispose]()
  if (dir !== undefined) rmSync(dir, { recursive: true })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'stress-ng', 'fio', 'dbench', 'bonnie++'))

describe("Debian's stressors, on a view", () => {
  it.each(STRESSORS)('stress-ng finds nothing wrong with %s', { timeout: 120_000 }, async (name) => {
    const { failed, all } = await run('stress-ng', [
      ...[
        `--${name}`,
        ALONE.includes(name) ? '1' : '2',
        `--${name}-ops`,
        '300',
        '--timeout',
        `${SECONDS}s`,
        '--verify',
        '--temp-path',
        mounted.path,
      ],
    ])
    expect([failed, all.split('\n').filter((line) => /fail:|error:/.test(line))]).toEqual([false, []])
  })

  it.each([
    ['in small pieces at random', ['--rw=randwrite', '--bs=4k', '--ioengine=psync', '--numjobs=2']],
    ['past the page cache', ['--rw=randrw', '--bs=4k', '--ioengine=libaio', '--iodepth=8', '--direct=1']],
    ['through a mapping', ['--rw=randwrite', '--bs=4k', '--ioengine=mmap']],
    ['in order, in large pieces', ['--rw=write', '--bs=256k', '--ioengine=psync', '--fsync=8']],
  ])('fio reads back what it wrote %s', { timeout: 120_000 }, async (_how, options) => {
    const size = `--size=${8 * SECONDS}m`
    const { failed, all } = await run('fio', [
      ...['--name=verified', `--directory=${mounted.path}`, size, '--verify=crc32c', '--minimal', ...options],
    ])
    expect([failed, failed ? all : '']).toEqual([false, ''])
  })

  it('dbench plays the load of a file server', { timeout: 120_000 }, async () => {
    const { failed, all } = await run('dbench', ['-D', mounted.path, '-t', String(2 * SECONDS), '2'])
    expect([failed, /Throughput [\d.]+ MB\/sec/.test(all)]).toEqual([false, true])
  })

  it('bonnie++ writes, rewrites, seeks, makes and deletes', { timeout: 120_000 }, async () => {
    const { failed, all } = await run('bonnie++', [
      '-d',
      mounted.path,
      '-s',
      '16',
      '-r',
      '8',
      '-n',
      '1',
      '-u',
      'root',
      '-q',
    ])
    expect([failed, failed ? all : '']).toEqual([false, ''])
  })

  it('leave nothing in the log', () => {
    expect(mounted.log).toEqual([])
  })
})

async function run(file: string, args: readonly string[]): Promise<{ failed: boolean; all: string }> {
  // Not in the mount: what a program leaves in its working directory would be in the way of the next.
  const { failed, all } = await execa(file, args, { cwd: dir, all: true, reject: false, timeout: 100_000 })
  return { failed, all }
}
