import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { beforeEach, describe, expect, it } from 'vitest'
import { toldNumbers } from '../../fs-layer/view/told-numbers.ts'
import { calls } from '../fixtures/caller/calls.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

/** Nodes of the base (the root, then its entries), and those of the delta that the tests write. */
const [ROOT, BASE_A, BASE_B] = [1, 2, 3]
const [SMALL, LARGE, FOLDER, LINK, NEXT] = [4, 5, 6, 7, 8]
const LARGE_TEXT = 'large '.repeat(5000)

describe('a delta that was written in format 1', () => {
  it('is read as it is, and is of format 3 from its first change on, with all that it had', async () => {
    const base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
    try {
      fs.writeFileSync(join(base, 'a'), 'base a')
      fs.writeFileSync(join(base, 'b'), 'base b')
      await using mounted = await mountedView({ base })
      // A change, so that there is an index with the meta record that names the base.
      fs.chmodSync(mounted.path, 0o755)
      await mounted.remount(() => writeFormat1(mounted))
      check(mounted)
      await mounted.remount(async () => expect(await versionOf(mounted)).toBe(1))
      fs.writeFileSync(join(mounted.path, 'folder', 'new'), 'new')
      await mounted.remount(async () => expect(await versionOf(mounted)).toBe(3))
      check(mounted)
      expect(fs.readFileSync(join(mounted.path, 'folder', 'new'), 'utf8')).toBe('new')
      expect(fs.statSync(join(mounted.path, 'folder', 'new')).ino).toBe(toldNumbers(mounted.base).tell(NEXT))
      expect(mounted.log).toEqual([])
    } finally {
      fs.rmSync(base, { recursive: true })
    }
  })
})

it('a delta of a later format is refused, whatever its records look like, and the log names both', async () => {
  await using mounted = await mountedView()
  fs.writeFileSync(join(mounted.path, 'file'), 'contents')
  let meta: Buffer = Buffer.alloc(0)
  const later = mounted.remount(() =>
    changeIndex(mounted, async (index) => {
      meta = (await index.get(Buffer.from('m'))) ?? meta
      const newer = { ...JSON.parse(meta.toString()), version: 4 }
      await index.put(Buffer.from('m'), Buffer.from(JSON.stringify(newer)))
      await index.put(Buffer.from('a key of a later kind'), Buffer.alloc(3))
    }),
  )
  await expect(later).rejects.toMatchObject({ name: 'EIO' })
  expect(mounted.log.join()).toContain('format 4, this Croft reads 1 to 3')
  await mounted.remount(() =>
    changeIndex(mounted, async (index) => {
      await index.put(Buffer.from('m'), meta)
      await index.del(Buffer.from('a key of a later kind'))
    }),
  )
  expect(fs.readFileSync(join(mounted.path, 'file'), 'utf8')).toBe('contents')
})

function check({ path, base }: MountedView): void {
  expect(fs.readdirSync(path).sort()).toEqual(['a', 'folder', 'large', 'small'])
  const small = fs.statSync(join(path, 'small'))
  expect([small.ino, small.mode & 0o7777, small.mtimeMs, small.birthtimeMs]).toEqual([
    toldNumbers(base).tell(SMALL),
    0o640,
    2_000_000,
    2_000_000,
  ])
  expect(fs.readFileSync(join(path, 'small'), 'utf8')).toBe('small')
  expect(calls.getxattr(join(path, 'small'), 'user.tag')).toBe('value')
  expect(fs.readFileSync(join(path, 'large'), 'utf8')).toBe(LARGE_TEXT)
  expect(fs.statSync(join(path, 'a')).mode & 0o7777).toBe(0o600)
  expect(fs.readFileSync(join(path, 'a'), 'utf8')).toBe('base a')
  expect(fs.readlinkSync(join(path, 'folder', 'link'))).toBe('../small')
}

/** In the words of docs/spec/delta.md, without what version 2 added. */
async function writeFormat1(mounted: MountedView): Promise<void> {
  await changeIndex(mounted, async (index) => {
    const { base } = JSON.parse((await index.get(Buffer.from('m')))?.toString() ?? '')
    await index.clear()
    await index.batch([
      put(Buffer.from('m'), Buffer.from(JSON.stringify({ version: 1, base, nextNode: NEXT }))),
      put(key('i', ROOT), inode({ mode: 0o040755, size: 4096 })),
      put(key('i', BASE_A), inode({ mode: 0o100600, size: 6 })),
      put(key('i', SMALL), inode({ mode: 0o100640, size: 5, place: 1, xattrs: [['user.tag', 'value']] })),
      put(key('c', SMALL), Buffer.from('small')),
      put(key('i', LARGE), inode({ mode: 0o100644, size: LARGE_TEXT.length, place: 2 })),
      put(key('i', FOLDER), inode({ mode: 0o040755, size: 4096 })),
      put(key('i', LINK), inode({ mode: 0o120777, size: 8, target: '../small' })),
      put(key('d', ROOT, 'small'), dentry(SMALL, 1)),
      put(key('d', ROOT, 'large'), dentry(LARGE, 2)),
      put(key('d', ROOT, 'folder'), dentry(FOLDER, 3)),
      put(key('d', ROOT, 'b'), dentry(0, 4)),
      put(key('d', FOLDER, 'link'), dentry(LINK, 1)),
    ])
  })
  const directory = join(mounted.deltaDir, 'files', '05')
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(join(directory, String(LARGE)), LARGE_TEXT)
  expect(BASE_B).toBe(BASE_A + 1)
}

function put(at: Buffer, value: Buffer) {
  return { type: 'put' as const, key: at, value }
}

function key(kind: string, node: number, name = ''): Buffer {
  return Buffer.concat([Buffer.from(kind), u64(node), Buffer.from(name)])
}

function inode(of: {
  mode: number
  size: number
  place?: number
  target?: string
  xattrs?: [string, string][]
}): Buffer {
  const { mode, size, place = 0, target = '', xattrs = [] } = of
  const time = Buffer.concat([u64(2000), u32(0)])
  const owner = u32(0xffffffff)
  return Buffer.concat([
    ...[u32(mode), owner, owner, u64(size), time, time, time, Buffer.of(place)],
    ...[bytes(target), u32(xattrs.length), ...xattrs.flat().map(bytes)],
  ])
}

function dentry(node: number, seq: number): Buffer {
  return Buffer.concat([u64(node), u64(seq)])
}

function bytes(text: string): Buffer {
  return Buffer.concat([u32(text.length), Buffer.from(text)])
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer
}

async function versionOf(mounted: MountedView): Promise<number> {
  return changeIndex(
    mounted,
    async (index) => JSON.parse((await index.get(Buffer.from('m')))?.toString() ?? '').version,
  )
}

/** While nobody has the delta open. */
async function changeIndex<T>({ deltaDir }: MountedView, change: (index: Level<Buffer, Buffer>) => Promise<T>) {
  const index = new Level<Buffer, Buffer>(join(deltaDir, 'index'), { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  const changed = await change(index)
  await index.close()
  return changed
}
