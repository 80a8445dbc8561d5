import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

/**
 * Random sequences of calls, made on a view and on a plain directory: same answers, same errors, same tree, and
 * the same tree again after a remount.
 */
describe('a view and a plain directory', () => {
  it('answer any sequence of calls alike, over an empty base', async () => {
    await compare(() => undefined, runs(15))
  }, 600_000)

  it('answer any sequence of calls alike, over a base with files, links and directories', async () => {
    await compare(plant, runs(20))
  }, 600_000)
})

const NAMES = ['a', 'b', 'c', 'd'] as const
const name = fc.constantFrom(...NAMES)
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.nat(40_000).map((length) => 'x'.repeat(length)),
)
const mode = fc.constantFrom(0o644, 0o600, 0o755, 0o444)

const call = fc.oneof(
  fc.record({ op: fc.constant('writeFile' as const), path, text }),
  fc.record({ op: fc.constant('append' as const), path, text }),
  fc.record({ op: fc.constant('writeAt' as const), path, text, offset: fc.nat(30_000) }),
  fc.record({ op: fc.constant('truncate' as const), path, size: fc.nat(50_000) }),
  fc.record({ op: fc.constant('mkdir' as const), path }),
  fc.record({ op: fc.constant('rmdir' as const), path }),
  fc.record({ op: fc.constant('unlink' as const), path }),
  fc.record({ op: fc.constant('rename' as const), path, to: path }),
  fc.record({ op: fc.constant('link' as const), path, to: path }),
  fc.record({ op: fc.constant('symlink' as const), path, target: fc.constantFrom('a', '../b', 'a/b', 'nowhere') }),
  fc.record({ op: fc.constant('chmod' as const), path, mode }),
  fc.record({ op: fc.constant('utimes' as const), path, seconds: fc.integer({ min: -10_000, max: 2_000_000_000 }) }),
  fc.record({ op: fc.constant('read' as const), path }),
  fc.record({ op: fc.constant('readdir' as const), path }),
  fc.record({ op: fc.constant('lstat' as const), path }),
  fc.record({ op: fc.constant('readlink' as const), path }),
  fc.record({ op: fc.constant('exclusive' as const), path }),
  fc.record({ op: fc.constant('removeAll' as const), path }),
)
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never

async function compare(prepare: (directory: string) => void, runs: number): Promise<void> {
  const sequence = fc.array(call, { minLength: 1, maxLength: 120, size: 'max' })
  await fc.assert(
    fc.asyncProperty(sequence, async (calls) => {
      const plain = fs.mkdtempSync(join(tmpdir(), 'croft-plain-'))
      try {
        // One level down, so that a link to `..` stays within what both have.
        fs.mkdirSync(join(plain, 'top'))
        prepare(join(plain, 'top'))
        await using mounted = await mountedView({ base: plain, unprivileged: true })
        const [here, there] = [join(mounted.path, 'top'), join(plain, 'top')]
        calls.forEach((each, index) => {
          expect({ index, each, answer: answer(here, each) }).toEqual({ index, each, answer: answer(there, each) })
        })
        expect(tree(mounted.path)).toEqual(tree(plain))
        const inodes = numbers(mounted.path)
        await mounted.remount()
        expect(tree(mounted.path)).toEqual(tree(plain))
        expect(numbers(mounted.path)).toEqual(inodes)
        expect(mounted.log).toEqual([])
      } finally {
        fs.rmSync(plain, { recursive: true })
      }
    }),
    { numRuns: runs },
  )
}

function plant(directory: string): void {
  fs.mkdirSync(join(directory, 'a/b'), { recursive: true })
  fs.mkdirSync(join(directory, 'b/a/c'), { recursive: true })
  fs.writeFileSync(join(directory, 'a/a'), 'small')
  fs.writeFileSync(join(directory, 'a/b/c'), 'y'.repeat(100_000))
  fs.writeFileSync(join(directory, 'b/b'), '')
  fs.writeFileSync(join(directory, 'b/a/c/d'), 'z'.repeat(16_384), { mode: 0o755 })
  fs.symlinkSync('../a/a', join(directory, 'b/c'))
  fs.writeFileSync(join(directory, 'd'), 'top')
}

/** What a program gets to see: the value, or the name of the error. */
function answer(root: string, made: Call): unknown {
  const at = join(root, made.path)
  try {
    switch (made.op) {
      case 'writeFile':
        return fs.writeFileSync(at, made.text)
      case 'append':
        return fs.appendFileSync(at, made.text)
      case 'writeAt':
        return withFile(at, 'r+', (fd) => fs.writeSync(fd, made.text, made.offset))
      case 'truncate':
        return fs.truncateSync(at, made.size)
      case 'mkdir':
        return fs.mkdirSync(at)
      case 'rmdir':
        return fs.rmdirSync(at)
      case 'unlink':
        return fs.unlinkSync(at)
      case 'rename':
        return fs.renameSync(at, join(root, made.to))
      case 'link':
        return fs.linkSync(at, join(root, made.to))
      case 'symlink':
        return fs.symlinkSync(made.target, at)
      case 'chmod':
        return fs.chmodSync(at, made.mode)
      case 'utimes':
        return fs.utimesSync(at, made.seconds, made.seconds)
      case 'read':
        return fs.readFileSync(at, 'latin1')
      case 'readdir':
        return fs.readdirSync(at).sort()
      case 'lstat':
        return attributes(at)
      case 'readlink':
        return fs.readlinkSync(at)
      case 'exclusive':
        return withFile(at, 'wx', () => true)
      case 'removeAll':
        return fs.rmSync(at, { recursive: true })
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

function withFile<T>(at: string, flags: string, use: (fd: number) => T): T {
  const fd = fs.openSync(at, flags)
  try {
    return use(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function attributes(at: string): unknown {
  const { mode, nlink, size, uid, gid } = fs.lstatSync(at)
  // ext4's size of a directory depends on its history.
  return { mode, nlink, uid, gid, size: (mode & 0o170000) === 0o040000 ? 0 : size }
}

function tree(directory: string): unknown {
  return fs
    .readdirSync(directory)
    .sort()
    .map((entry) => {
      const at = join(directory, entry)
      const info = fs.lstatSync(at)
      const contents = info.isDirectory()
        ? tree(at)
        : info.isSymbolicLink()
          ? fs.readlinkSync(at)
          : fs.readFileSync(at, 'latin1')
      return { entry, attributes: attributes(at), contents }
    })
}

function numbers(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((entry) => `${entry} ${fs.lstatSync(join(directory, entry)).ino}`)
}

/** More of them where there is time: CROFT_MODEL_RUNS multiplies. */
function runs(usual: number): number {
  return usual * Number(process.env['CROFT_MODEL_RUNS'] ?? 1)
}
