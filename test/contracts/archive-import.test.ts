import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gzip, zstd } from '../../fs-layer/archive/compress.ts'
import { layerItems, versionItems } from '../../fs-layer/archive/items.ts'
import type { ArchiveSource } from '../../fs-layer/archive/write.ts'
import { writeImage } from '../../fs-layer/archive/write-image.ts'
import { writeTar } from '../../fs-layer/archive/write-tar.ts'
import { writeZip } from '../../fs-layer/archive/write-zip.ts'
import { changesBetween } from '../../fs-layer/diff/changes-between.ts'
import { patchOf } from '../../fs-layer/diff/patch.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import { collect } from '../fixtures/collect.ts'
import { type TemporaryStore, temporaryStore } from '../fixtures/temporary-store.ts'
import { unpackBytes } from '../fixtures/unpack-bytes.ts'
import { HARD, PAST, type Planned, versionOf } from '../fixtures/version-of.ts'
import { needs } from '../needs.ts'

let temporary: TemporaryStore

beforeEach(async () => {
  temporary = await temporaryStore()
})

afterEach(() => temporary[Symbol.asyncDispose]())

const make = (files: Readonly<Record<string, Planned>>) => versionOf(temporary.store, files)
const bytesOf = async (pieces: AsyncIterable<Buffer>) => Buffer.concat(await collect(pieces))
const whole = (version: Hash): ArchiveSource => ({
  store: temporary.store,
  items: () => versionItems(temporary.store, version),
})
const image = { reference: 'a:b', at: '', architecture: 'amd64' }

describe('an export that is imported is the version again, hash for hash', () => {
  test.each([
    ['tar', writeTar],
    ['tar.gz', (source: ArchiveSource) => gzip(writeTar(source))],
    ['tar.zst', (source: ArchiveSource) => zstd(writeTar(source))],
    ['zip', writeZip],
    ['image', (source: ArchiveSource) => writeImage(source, image)],
  ])('as a %s', async (_, pack) => {
    const version = await make({ ...HARD, ...PAST })
    // Not the hashes first: these say what it is.
    const again = await unpackBytes(temporary, await bytesOf(pack(whole(version))))
    expect([...versionItems(temporary.store, again)]).toEqual([...versionItems(temporary.store, version)])
    expect(await unpackBytes(temporary, await bytesOf(pack(whole(version))))).toBe(version)
    const empty = await make({})
    expect(await unpackBytes(temporary, await bytesOf(pack(whole(empty))))).toBe(empty)
  })

  test('as a layer, on top of what it was made from', async () => {
    const before = await make({
      ...HARD,
      'gone/x': 'x',
      'emptied/1': '1',
      'emptied/2': '2',
      'was-file': 'f',
      'was-dir/x': 'd',
    })
    const after = await make({
      ...HARD,
      ...PAST,
      empty: 'not any more',
      'a/b/new': 'n',
      'emptied/3': '3',
      'was-file/in': 'i',
      'was-dir': { link: 'elsewhere' },
      closed: { is: 'x', mode: 0o600 },
    })
    for (const [from, to] of [
      [before, after],
      [after, before],
    ] as const) {
      const source = { store: temporary.store, items: () => layerItems(temporary.store, from, to) }
      const bytes = await bytesOf(writeTar(source))
      expect(await unpackBytes(temporary, bytes, { format: 'oci-layer', base: from })).toBe(to)
      const onto = { config: {}, layers: [baseLayer(await bytesOf(writeTar(whole(from))))] }
      const stacked = await bytesOf(writeImage(source, image, onto))
      expect(await unpackBytes(temporary, stacked)).toBe(to)
    }
  })
})

describe('what other programs write', () => {
  test.each([
    ['GNU tar', ['tar', '--format=gnu', '-cf', '-', '.']],
    ['GNU tar, as pax', ['tar', '--format=pax', '-cf', '-', '.']],
    ['GNU tar, compressed', ['tar', '--format=pax', '-czf', '-', '.']],
    ['bsdtar', ['bsdtar', '--format=pax', '-cf', '-', '.']],
  ])('is the folder that it was made of: %s', async (_, [program = '', ...args]) => {
    const dir = folder()
    const bytes = execFileSync(program, args, { cwd: dir, maxBuffer: 2 ** 26 })
    const { store } = temporary
    const imported = await importDirectory(store, dir)
    const version = await unpackBytes(temporary, bytes)
    // The version of a folder has no attributes of its root.
    const read = store.rootSync(version)
    if (program === 'tar' && !args.includes('--format=gnu')) expect(read.tree).toBe(imported.root.tree)
    expect(summary(version)).toEqual(summary(imported.hash))
  })

  test('a zip of libarchive and of Python is the files that it was made of', async (context) => {
    await needs(context, 'bsdtar', 'python3')
    const dir = folder()
    const { hash } = await importDirectory(temporary.store, dir)
    const zip = join(temporary.scratch, 'libarchive.zip')
    execFileSync('bsdtar', ['--format=zip', '-cf', zip, '.'], { cwd: dir })
    expect(summary(await unpackBytes(temporary, fs.readFileSync(zip)))).toEqual(summary(hash))
    const script =
      "import zipfile,sys; z=zipfile.ZipFile(sys.argv[1],'w'); z.writestr('d/e','x'); z.writestr('s','y'*99999,zipfile.ZIP_DEFLATED); z.close()"
    const path = join(temporary.scratch, 'python.zip')
    execFileSync('python3', ['-c', script, path])
    expect(summary(await unpackBytes(temporary, fs.readFileSync(path))).map(({ path: at }) => at)).toEqual([
      '',
      'd',
      'd/e',
      's',
    ])
  })

  test('a file of two names in a tar is two files', async () => {
    const dir = folder()
    fs.linkSync(join(dir, 'sub/file'), join(dir, 'twin'))
    const bytes = execFileSync('tar', ['-cf', '-', '.'], { cwd: dir, maxBuffer: 2 ** 26 })
    const found = summary(await unpackBytes(temporary, bytes))
    expect(found.find(({ path }) => path === 'twin')?.what).toBe(found.find(({ path }) => path === 'sub/file')?.what)
  })
})

function folder(): string {
  const dir = fs.mkdtempSync(join(temporary.scratch, 'folder-'))
  fs.mkdirSync(join(dir, 'sub/deeper'), { recursive: true })
  fs.writeFileSync(join(dir, 'sub/file'), 'contents')
  fs.writeFileSync(join(dir, `sub/${'n'.repeat(150)}`), Buffer.alloc(300_000, 'x'))
  fs.writeFileSync(join(dir, 'ü'), '')
  fs.chmodSync(join(dir, 'ü'), 0o755)
  fs.symlinkSync(`${'../'.repeat(40)}etc/passwd`, join(dir, 'link'))
  return dir
}

function baseLayer(bytes: Buffer) {
  const digest = `sha256:${execFileSync('sha256sum', { input: bytes, encoding: 'utf8' }).slice(0, 64)}`
  async function* read() {
    yield bytes
  }
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes.length, read }
}

function summary(version: Hash) {
  return [...versionItems(temporary.store, version)].map(({ path, entry }) => ({
    path,
    kind: entry.kind,
    what: entry.kind === 'file' ? `${entry.hash} ${entry.mode}` : entry.kind === 'symlink' ? entry.target : '',
  }))
}

describe('a patch', () => {
  const BEFORE = {
    same: 'same',
    text: 'one\ntwo\nthree\n',
    'no end': 'a\nb',
    'moved from': 'x\n'.repeat(20),
    gone: 'gone\n',
    'a\tb "ü': 'odd\n',
    program: { is: '#!/bin/sh\n', mode: 0o755 },
    binary: Buffer.from([0, 1, 2, 255]),
    link: { link: 'text' },
    swap1: '1\n'.repeat(9),
    swap2: '2\n'.repeat(9),
    empty: '',
  }
  const AFTER = {
    same: 'same',
    text: 'zero\none\nTWO\nthree\n',
    'no end': 'a\nb\n',
    'moved/to': `${'x\n'.repeat(19)}y\n`,
    'a\tb "ü': 'odder\n',
    program: { is: '#!/bin/sh\n', mode: 0o644 },
    binary: Buffer.from([0, 9, 2, 255, 7]),
    link: { link: 'same' },
    swap1: '2\n'.repeat(9),
    swap2: '1\n'.repeat(9),
    made: '',
    'new\xff': 'new',
  }

  test('makes of one version the other, as git has it, and back', async () => {
    const [before, after] = [await make(BEFORE), await make(AFTER)]
    for (const [from, to] of [
      [before, after],
      [after, before],
    ] as const) {
      const bytes = await bytesOf(patchOf(temporary.store, await changesBetween(temporary.store, from, to)))
      const made = await unpackBytes(temporary, bytes, { format: 'patch', base: from })
      const files = (version: Hash) => summary(version).filter(({ kind }) => kind !== 'directory')
      expect(files(made)).toEqual(files(to))
    }
  })

  test('that git wrote, with beginnings of names, is the same', async (context) => {
    await needs(context, 'git')
    const dir = folder()
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x', ...args], { cwd: dir })
    git('init', '-q')
    git('add', '.')
    git('commit', '-qm', 'before')
    const { hash: base } = await importDirectory(temporary.store, dir)
    fs.writeFileSync(join(dir, 'sub/file'), 'other\n')
    fs.renameSync(join(dir, 'ü'), join(dir, 'u'))
    git('add', '.')
    git('commit', '-qm', 'after')
    const patch = execFileSync('git', ['format-patch', '-1', '--stdout'], { cwd: dir })
    const made = summary(await unpackBytes(temporary, patch, { format: 'patch', base })).map(({ path }) => path)
    expect(made).toContain('u')
    expect(made).not.toContain(Buffer.from('ü').toString('latin1'))
  })
})
