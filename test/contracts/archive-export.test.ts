import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gzip, zstd } from '../../fs-layer/archive/compress.ts'
import { layerItems, versionItems } from '../../fs-layer/archive/items.ts'
import type { ArchiveSource } from '../../fs-layer/archive/write.ts'
import { writeGitBundle } from '../../fs-layer/archive/write-git-bundle.ts'
import { writeTar } from '../../fs-layer/archive/write-tar.ts'
import { writeZip } from '../../fs-layer/archive/write-zip.ts'
import { compilePolicy } from '../../fs-layer/policy/policy.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import { collect } from '../fixtures/collect.ts'
import { type TemporaryStore, temporaryStore } from '../fixtures/temporary-store.ts'
import { HARD, PAST, type Planned, versionOf } from '../fixtures/version-of.ts'
import { needs } from '../needs.ts'

let temporary: TemporaryStore
let made = 0

beforeEach(async () => {
  temporary = await temporaryStore()
})

afterEach(() => temporary[Symbol.asyncDispose]())

const whole = (version: Hash): ArchiveSource => ({
  store: temporary.store,
  items: () => versionItems(temporary.store, version),
})
const bytesOf = async (pieces: AsyncIterable<Buffer>) => Buffer.concat(await collect(pieces))
const make = (files: Readonly<Record<string, Planned>>) => versionOf(temporary.store, files)

function directory(): string {
  const dir = join(temporary.scratch, `out-${made++}`)
  fs.mkdirSync(dir)
  return dir
}

function written(bytes: Buffer): string {
  const path = join(temporary.scratch, `archive-${made++}`)
  fs.writeFileSync(path, bytes)
  return path
}

function unpackTar(bytes: Buffer, ...flags: string[]): string {
  const dir = directory()
  execFileSync('tar', [...flags, '-xpf', written(bytes), '-C', dir])
  return dir
}

describe('a tar', () => {
  test('unpacked by GNU tar is the version, hash for hash', async (context) => {
    await needs(context, 'root')
    const version = await make(HARD)
    const imported = await importDirectory(temporary.store, unpackTar(await bytesOf(writeTar(whole(version)))))
    expect(entries(imported.hash)).toEqual(entries(version))
    const { tree } = temporary.store.rootSync(version)
    expect(imported.root.tree).toBe(tree)
  })

  test('names nobody, and is the same bytes each time, compressed or not', async (context) => {
    await needs(context, 'zstd')
    const version = await make({ ...HARD, ...PAST })
    const pack = [
      () => writeTar(whole(version)),
      () => gzip(writeTar(whole(version))),
      () => zstd(writeTar(whole(version))),
      () => writeZip(whole(version)),
      () => writeGitBundle(whole(version), { message: 'm', branch: 'b' }),
    ]
    for (const each of pack) expect((await bytesOf(each())).equals(await bytesOf(each()))).toBe(true)
    const listed = execFileSync('tar', ['-tvf', written(await bytesOf(writeTar(whole(version))))], { encoding: 'utf8' })
    expect(listed.split('\n').filter((line) => line !== '' && !line.includes(' 0/0 '))).toEqual([])
  })

  test.each([
    ['gzip', '-z', gzip],
    ['zstd', '--zstd', zstd],
  ] as const)('compressed by %s is read by tar', async (_, flag, compress) => {
    const bytes = await bytesOf(compress(writeTar(whole(await make({ 'd/f': 'contents' })))))
    expect(fs.readFileSync(join(unpackTar(bytes, flag), 'd/f'), 'utf8')).toBe('contents')
  })

  test('of a tree as deep as a path can be is made, for there is no recursion', async () => {
    const version = await make({ [Array(2047).fill('d').join('/')]: 'bottom' })
    expect((await bytesOf(writeTar(whole(version)))).length).toBeGreaterThan(2047 * 512)
    expect((await bytesOf(writeZip(whole(version)))).length).toBeGreaterThan(2047 * 30)
    expect((await bytesOf(writeGitBundle(whole(version), { message: 'm', branch: 'b' }))).length).toBeGreaterThan(2047)
  })

  test('whose reader stops takes no more, and one that is given up fails', async () => {
    const version = await make(
      Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`f${at}`, Buffer.alloc(65_536, at)])),
    )
    const controller = new AbortController()
    let read = 0
    const source = { ...whole(version), signal: controller.signal, onContents: (bytes: number) => (read += bytes) }
    for await (const _ of gzip(writeTar(source))) break
    expect(read).toBeLessThan(40 * 65_536)
    controller.abort(new Error('given up'))
    await expect(bytesOf(zstd(writeTar(source)))).rejects.toThrow('given up')
    await expect(bytesOf(gzip(writeTar(source)))).rejects.toThrow('given up')
  })

  test('of which a rule hides a part has nothing of it, and no contents of what can only be looked at', async () => {
    const version = await make({
      'a/seen': 'seen',
      'a/.env': 'SECRET',
      'a/looked': 'LOOKED',
      'hidden/deep/seen': 'uncovered',
      'hidden/other': 'SECRET',
      all: 'seen',
    })
    const policy = compilePolicy([
      { pattern: '**', type: 'glob', level: 'read' },
      { pattern: '**/.env', type: 'glob', level: 'none', priority: 1 },
      { pattern: '/a/looked', type: 'file', level: 'view', priority: 1 },
      { pattern: '/hidden/**', type: 'glob', level: 'none', priority: 1 },
      { pattern: '/hidden', type: 'file', level: 'none', priority: 1 },
      { pattern: '/hidden/deep/seen', type: 'file', level: 'read', priority: 2 },
    ])
    const items = () => versionItems(temporary.store, version, { policy })
    expect([...items()].map(({ path }) => path)).toEqual([
      '',
      'a',
      'a/seen',
      'all',
      'hidden',
      'hidden/deep',
      'hidden/deep/seen',
    ])
    const source = { store: temporary.store, items }
    for (const pieces of [writeTar(source), writeZip(source), writeGitBundle(source, { message: 'm', branch: 'b' })]) {
      const bytes = await bytesOf(pieces)
      expect(bytes.includes('.env') || bytes.includes('SECRET') || bytes.includes('looked')).toBe(false)
    }
  })
})

describe('a zip', () => {
  test('is read by libarchive as the files it was made of', async (context) => {
    await needs(context, 'bsdtar', 'root')
    // libarchive takes `C:` away, as of a drive.
    const { '': _, future: __, 'C:drive': ___, ...files } = HARD
    const version = await make(Object.fromEntries(Object.entries(files).filter(([path]) => !path.startsWith('\xff'))))
    const dir = directory()
    execFileSync('bsdtar', ['-xpf', written(await bytesOf(writeZip(whole(version)))), '-C', dir], {
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    })
    const imported = await importDirectory(temporary.store, dir)
    const withoutTimes = (hash: Hash) => entries(hash).map(({ time: __, ...rest }) => rest)
    expect(withoutTimes(imported.hash).slice(1)).toEqual(withoutTimes(version).slice(1))
  })

  test('is whole to Python, which checks every sum', async (context) => {
    await needs(context, 'python3')
    const path = written(await bytesOf(writeZip(whole(await make({ ...HARD, ...PAST })))))
    const script = 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), len(z.namelist()))'
    const count = entries(await make({ ...HARD, ...PAST })).length - 1
    expect(execFileSync('python3', ['-c', script, path], { encoding: 'utf8' })).toBe(`None ${count}\n`)
  })
})

describe('a layer', () => {
  const BEFORE = {
    'keep/a': 'a',
    'keep/b': 'b',
    'gone/x': 'x',
    'emptied/1': '1',
    'emptied/2': '2',
    'file-then-dir': 'f',
    same: 's',
  }
  const AFTER = { 'keep/a': 'A', 'keep/new': 'n', 'emptied/3': '3', 'file-then-dir/in': 'i', same: 's' }

  test('has what differs and a whiteout for what is gone, an opaque one for all of a directory', async () => {
    const items = layerItems(temporary.store, await make(BEFORE), await make(AFTER))
    expect([...items].map(({ path }) => path)).toEqual([
      'emptied/.wh..wh..opq',
      'emptied/3',
      'file-then-dir',
      'file-then-dir/in',
      '.wh.gone',
      'keep/a',
      'keep/.wh.b',
      'keep/new',
    ])
  })

  test('of what a rule hides tells nothing, not that it is gone', async () => {
    const policy = compilePolicy([
      { pattern: '**', type: 'glob', level: 'read' },
      { pattern: '/keep/b', type: 'file', level: 'none', priority: 1 },
      { pattern: '/gone/**', type: 'glob', level: 'none', priority: 1 },
      { pattern: '/gone', type: 'file', level: 'none', priority: 1 },
    ])
    const items = layerItems(temporary.store, await make(BEFORE), await make(AFTER), { policy })
    expect([...items].map(({ path }) => path)).toEqual([
      'emptied/.wh.1',
      'emptied/.wh.2',
      'emptied/3',
      'file-then-dir',
      'file-then-dir/in',
      'keep/a',
      'keep/new',
    ])
  })

  test('cannot have a name that begins as a whiteout does', async () => {
    const [before, after] = [await make({}), await make({ 'd/.wh.me': 'x' })]
    expect(() => [...layerItems(temporary.store, before, after)]).toThrow('"d/.wh.me"')
  })
})

describe('a git bundle', () => {
  test('is cloned by git, with one commit that has the files', async (context) => {
    await needs(context, 'git')
    const version = await make({ ...HARD, '.git/config': 'no', 'sub/.GIT/x': 'no', 'a.b': '1', 'a/z': '2', a0: '3' })
    const dir = join(temporary.scratch, `clone-${made++}`)
    const bundle = written(await bytesOf(writeGitBundle(whole(version), { message: 'what it is', branch: 'croft' })))
    execFileSync('git', ['bundle', 'verify', bundle], { cwd: gitRepository(), stdio: 'ignore' })
    execFileSync('git', ['clone', '-q', bundle, dir], { stdio: 'ignore' })
    execFileSync('git', ['fsck', '--strict', '--no-progress'], { cwd: dir, stdio: 'ignore' })
    expect(execFileSync('git', ['status', '--porcelain'], { cwd: dir, encoding: 'utf8' })).toBe('')
    expect(execFileSync('git', ['log', '--format=%s'], { cwd: dir, encoding: 'utf8' })).toBe('what it is\n')
    expect(fs.readFileSync(join(dir, 'large')).equals(HARD['large'] as Buffer)).toBe(true)
    expect(fs.readlinkSync(join(dir, 'link'))).toBe('/etc/passwd')
    expect(fs.existsSync(join(dir, 'sub'))).toBe(false)
  })

  test('of a change has what was before as the parent', async (context) => {
    await needs(context, 'git')
    const dir = join(temporary.scratch, `clone-${made++}`)
    const [before, after] = [whole(await make({ a: '1', b: '2' })), whole(await make({ a: '1', c: '3' }))]
    const bundle = written(await bytesOf(writeGitBundle(after, { message: 'change', branch: 'croft' }, before)))
    execFileSync('git', ['clone', '-q', bundle, dir], { stdio: 'ignore' })
    const shown = execFileSync('git', ['show', '--name-status', '--no-renames', '--format=%s'], {
      cwd: dir,
      encoding: 'utf8',
    })
    expect(shown).toBe('change\n\nD\tb\nA\tc\n')
  })
})

function gitRepository(): string {
  const dir = directory()
  execFileSync('git', ['init', '-q', dir], { stdio: 'ignore' })
  return dir
}

function entries(version: Hash) {
  return [...versionItems(temporary.store, version)].map(({ path, entry }) => ({
    path,
    kind: entry.kind,
    mode: entry.kind === 'symlink' ? 0 : entry.mode,
    what: entry.kind === 'file' ? entry.hash : entry.kind === 'symlink' ? entry.target : '',
    time: entry.kind === 'directory' ? '' : `${entry.mtime} ${entry.mtimeNsec}`,
  }))
}
