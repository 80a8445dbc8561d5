import { execFileSync } from 'node:child_process'
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ByteString } from '../protocol/filesystem.ts'
import { type TarEntry, tarEnd, tarHeader, tarPadding } from './tar-header.ts'

interface Sample extends TarEntry {
  readonly contents?: Buffer
}

const UID = process.getuid?.() ?? 0
const GID = process.getgid?.() ?? 0

function file(path: ByteString, contents: string | Buffer = '', more: Partial<TarEntry> = {}): Sample {
  const data = Buffer.from(contents)
  return { ...plain(path), kind: 'file', mode: 0o644, size: data.length, contents: data, ...more }
}

function directory(path: ByteString, more: Partial<TarEntry> = {}): Sample {
  return { ...plain(path), kind: 'directory', mode: 0o755, ...more }
}

function symlink(path: ByteString, target: ByteString, more: Partial<TarEntry> = {}): Sample {
  return { ...plain(path), kind: 'symlink', mode: 0o777, target, ...more }
}

function plain(path: ByteString) {
  return { path, uid: UID, gid: GID, mtime: 1_700_000_000, mtimeNsec: 0, size: 0 }
}

const bytes = (text: string): ByteString => Buffer.from(text).toString('latin1')
const name = (length: number, start = ''): ByteString => start + 'n'.repeat(length - start.length)

/** Every byte that a name can have. */
const ALL_BYTES = Buffer.from(Array.from({ length: 255 }, (_, at) => at + 1).filter((byte) => byte !== 0x2f)).toString(
  'latin1',
)

const ROOT = directory('', { mode: 0o750, mtime: 1_600_000_000 })

// A directory comes before what is in it, and a link after what it names.
const TREE: readonly Sample[] = [
  ROOT,
  file('empty'),
  ...[1, 511, 512, 513, 1024, 100_000].map((size) => file(`size-${size}`, Buffer.alloc(size, 'x'))),
  ...[0o000, 0o600, 0o755, 0o4755, 0o2755, 0o7777].map((mode) => file(`mode-${mode.toString(8)}`, 'x', { mode })),
  directory('sticky', { mode: 0o1777 }),
  directory('sealed', { mode: 0o500 }),
  file('sealed/inside', 'x'),
  ...[99, 100, 101, 155, 156, 254, 255].map((length) => file(name(length), String(length))),
  ...[98, 99, 100, 101, 255].flatMap((length) => [directory(name(length, 'd')), file(`${name(length, 'd')}/a`, 'a')]),
  ...deep(12),
  file(ALL_BYTES, 'all bytes'),
  file(ALL_BYTES.slice(0, 90), 'some bytes'),
  file('\xff\xfe', 'no UTF-8'),
  file(`\xff${name(150)}`, 'no UTF-8, long'),
  file(bytes('ä'.repeat(120)), 'UTF-8, long'),
  file(bytes('日本語'), 'UTF-8'),
  ...['-rf', ' ', '  a  ', 'a\nb', 'a\\b', 'a\'b"c', '~', '@LongLink', 'a:b', '*', '#x'].map((path) =>
    file(path, path),
  ),
  symlink('link', 'empty'),
  symlink('dangling', '../../nowhere'),
  symlink('absolute', '/etc/hostname'),
  symlink('bytes-link', '\xff\x01 \n'),
  ...[99, 100, 101, 255, 4000].map((length) =>
    symlink(`link-${length}`, `${'t/'.repeat(length / 2)}t`.slice(0, length)),
  ),
  symlink(name(200, 'link'), `\x80${'t'.repeat(199)}`, { mtimeNsec: 7 }),
  { ...plain('hard'), kind: 'hardlink', mode: 0o644, target: 'size-1' },
  { ...plain(name(120, 'hard')), kind: 'hardlink', mode: 0o644, target: name(255) },
  { ...plain('hard-bytes'), kind: 'hardlink', mode: 0o644, target: ALL_BYTES },
  { ...plain('c:drive-link'), kind: 'hardlink', mode: 0o644, target: 'a:b' },
  { ...plain('fifo'), kind: 'fifo', mode: 0o622 },
  ...[
    [0, 0],
    [0, 1],
    [1, 999_999_999],
    [-1, 0],
    [-1_000_000_000, 0],
    [2 ** 31, 123_456_789],
    [8 ** 11 - 1, 0],
    [8 ** 11, 0],
    [8 ** 11, 1],
  ].map(([mtime = 0, mtimeNsec = 0], at) => file(`time-${at}`, '', { mtime, mtimeNsec })),
]

function deep(levels: number): Sample[] {
  const paths = Array.from({ length: levels }, (_, depth) =>
    Array.from({ length: depth + 1 }, () => name(250)).join('/'),
  )
  const deepest = paths.at(-1) ?? ''
  return [
    directory('deep'),
    ...paths.map((path) => directory(`deep/${path}`)),
    file(`deep/${deepest}/a`, 'deep', { mtimeNsec: 1 }),
    { ...plain(`deep/${deepest}/b`), kind: 'hardlink', mode: 0o644, target: `deep/${deepest}/a`, mtimeNsec: 1 },
  ]
}

function archive(entries: readonly Sample[]): Buffer {
  const parts = entries.flatMap((entry) => [
    tarHeader(entry),
    entry.contents ?? Buffer.alloc(0),
    tarPadding(entry.size),
  ])
  return Buffer.concat([...parts, tarEnd()])
}

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'croft-tar-'))
})
afterEach(() => {
  rmSync(scratch, { recursive: true, force: true })
})

describe.each([
  ['GNU tar', 'tar'],
  ['BSD tar', 'bsdtar'],
] as const)('%s', (_, program) => {
  it.each(['C', 'C.UTF-8'])('unpacks every name, size, link, mode and time as it was, in the locale %s', (locale) => {
    const input = archive(TREE)
    const warnings = execFileSync(
      'sh',
      ['-c', 'exec "$@" 2>&1', 'sh', program, '-xpf', '-', '--numeric-owner', '-C', scratch],
      {
        input,
        env: { PATH: process.env['PATH'], LC_ALL: locale, TZ: 'UTC' },
      },
    )
    expect(warnings.toString()).not.toMatch(/[Ii]gnoring|[Cc]onvert|[Uu]nknown|[Dd]amaged/)
    // BSD tar sets no time on the folder it unpacks into, of its own archives neither.
    if (program === 'bsdtar') utimesSync(scratch, ROOT.mtime, ROOT.mtime)
    expect(unpacked(scratch)).toEqual(expected(TREE))
  })

  it('keeps a time before 1970 to the second', () => {
    const input = archive([file('a', '', { mtime: -2, mtimeNsec: 1 })])
    // GNU tar remarks on so old a time.
    execFileSync(program, ['-xf', '-', '-C', scratch], { input, stdio: ['pipe', 'ignore', 'pipe'] })
    expect(lstatSync(join(scratch, 'a')).mtimeMs).toBe(-2000)
  })

  it('reads a size of more than 8 GiB and finds what comes after it', () => {
    const size = 8 * 2 ** 30 + 1
    const path = join(scratch, 'big.tar')
    const fd = openSync(path, 'w')
    const header = tarHeader({ ...plain('big'), kind: 'file', mode: 0o644, size })
    writeSync(fd, header, 0, header.length, 0)
    const next = header.length + size + tarPadding(size).length
    const after = Buffer.concat([tarHeader({ ...plain('next'), kind: 'file', mode: 0o644, size: 0 }), tarEnd()])
    writeSync(fd, after, 0, after.length, next)
    closeSync(fd)
    const list = execFileSync(program, ['-tvf', path], { encoding: 'utf8' })
    expect(list).toMatch(new RegExp(` ${size} .* big\n.* next\n$`))
  })
})

describe('an archive', () => {
  it('is the same for the same entries', () => {
    expect(archive(TREE).equals(archive(TREE))).toBe(true)
  })

  it('is whole blocks with sums that hold', () => {
    for (const entry of TREE) {
      const header = tarHeader(entry)
      expect(header.length % 512).toBe(0)
      const block = header.subarray(-512)
      const sum = Number.parseInt(block.toString('latin1', 148, 154), 8)
      const bare = Buffer.from(block).fill(' ', 148, 156)
      expect(sum).toBe(bare.reduce((total, byte) => total + byte, 0))
    }
  })

  it('needs one block for an entry that fits in it', () => {
    expect(tarHeader(file(name(100)))).toHaveLength(512)
    expect(tarHeader(symlink('a', name(100)))).toHaveLength(512)
    expect(tarHeader(file(name(101)))).toHaveLength(3 * 512)
  })

  it('pads to whole blocks', () => {
    expect([0, 1, 511, 512, 513, 2 ** 40 + 1].map((size) => tarPadding(size).length)).toEqual([0, 511, 1, 0, 511, 511])
  })

  it('keeps ids up to the largest', () => {
    const ids = [0, 8 ** 7 - 1, 8 ** 7, 2 ** 32 - 1]
    const input = Buffer.concat([...ids.map((id) => tarHeader(file(`u${id}`, '', { uid: id, gid: id }))), tarEnd()])
    for (const program of ['tar', 'bsdtar']) {
      const list = execFileSync(program, ['-tvf', '-', '--numeric-owner'], { input, encoding: 'utf8' })
      expect([...list.matchAll(/\b(\d+)[ /]+(\d+) +0 .* u(\d+)$/gm)].map(([, ...found]) => found)).toEqual(
        ids.map((id) => [String(id), String(id), String(id)]),
      )
    }
  })

  it.each([
    ['path', { path: 'a\0b' }],
    ['path', { path: 'a\u0100' }],
    ['path', { path: '/a' }],
    ['path', { path: '' }],
    ['target', { target: 'b' }],
    ['target', { kind: 'symlink' }],
    ['target', { kind: 'symlink', target: '' }],
    ['target', { kind: 'hardlink', target: 'a\0' }],
    ['size', { size: -1 }],
    ['size', { size: 0.5 }],
    ['size', { size: 2 ** 53 }],
    ['size', { kind: 'fifo', size: 1 }],
    ['uid', { uid: -1 }],
    ['gid', { gid: 2 ** 32 }],
    ['mtime', { mtime: Number.NaN }],
    ['mtimeNsec', { mtimeNsec: 1_000_000_000 }],
    ['mtimeNsec', { mtimeNsec: -1 }],
  ] as [string, Partial<TarEntry>][])('refuses a bad %s: %j', (field, bad) => {
    const entry: TarEntry = { ...plain('a'), kind: 'file', mode: 0o644, ...bad }
    expect(() => tarHeader(entry)).toThrow(new RegExp(`^${field}: `))
  })
})

interface Found {
  readonly kind: string
  readonly mode: string
  readonly mtimeNs: bigint
  readonly contents?: string
  readonly target?: ByteString
  /** The path, first in order, of the same inode. */
  readonly sameAs?: ByteString
}

function expected(entries: readonly Sample[]): Map<ByteString, Found> {
  const found = new Map<ByteString, Found>()
  const shared = new Map<ByteString, ByteString[]>()
  for (const { path, kind, mode, mtime, mtimeNsec, contents, target } of entries) {
    if (kind === 'hardlink') {
      shared.set(target ?? '', [...(shared.get(target ?? '') ?? [target ?? '']), path])
      continue
    }
    found.set(path, {
      kind,
      mode: kind === 'symlink' ? '777' : mode.toString(8),
      mtimeNs: BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNsec),
      ...(contents === undefined ? {} : { contents: contents.toString('latin1') }),
      ...(target === undefined ? {} : { target }),
    })
  }
  for (const [first, paths] of shared) {
    const linked = found.get(first)
    if (linked === undefined) throw new Error('A hard link to nothing')
    const sameAs = paths.toSorted()[0] ?? ''
    for (const path of paths) found.set(path, { ...linked, sameAs })
  }
  return sorted(found)
}

function unpacked(root: string): Map<ByteString, Found> {
  const found = new Map<ByteString, Found>()
  const inodes = new Map<bigint, ByteString[]>()
  const visit = (path: ByteString) => {
    const onDisk = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')])
    const stat = lstatSync(onDisk, { bigint: true })
    const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : stat.isFIFO() ? 'fifo' : 'file'
    found.set(path, {
      kind,
      mode: (Number(stat.mode) & 0o7777).toString(8),
      mtimeNs: stat.mtimeNs,
      ...(kind === 'file' ? { contents: readFileSync(onDisk, 'latin1') } : {}),
      ...(kind === 'symlink' ? { target: readlinkSync(onDisk, 'buffer').toString('latin1') } : {}),
    })
    if (kind === 'file' && stat.nlink > 1n) inodes.set(stat.ino, [...(inodes.get(stat.ino) ?? []), path])
    if (kind !== 'directory') return
    for (const entry of readdirSync(onDisk, 'buffer'))
      visit(`${path}${path === '' ? '' : '/'}${entry.toString('latin1')}`)
  }
  visit('')
  for (const paths of inodes.values()) {
    const sameAs = paths.toSorted()[0] ?? ''
    for (const path of paths) found.set(path, { ...(found.get(path) as Found), sameAs })
  }
  return sorted(found)
}

function sorted(found: Map<ByteString, Found>): Map<ByteString, Found> {
  return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
