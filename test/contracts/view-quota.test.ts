import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Caller, startCaller } from '../fixtures/caller/caller.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

const [O_RDWR, O_CREAT] = [2, 0o100]
const [KEEP_SIZE, PUNCH_HOLE] = [1, 2]
const BLOCK = 4096
const BYTES = 100 * BLOCK
const INODES = 10

let base: string
let mounted: MountedView
let c: Caller

async function withQuota(quota: { bytes?: number; inodes?: number }): Promise<void> {
  base = fs.mkdtempSync(join(tmpdir(), 'croft-quota-'))
  fs.writeFileSync(join(base, 'large'), 'x'.repeat(50 * BLOCK))
  fs.writeFileSync(join(base, 'small'), 'x')
  mounted = await mountedView({ base, quota })
  c = await startCaller(mounted.path)
}

beforeEach((context) => needs(context, 'root', 'fuse'))

afterEach(async () => {
  await c?.[Symbol.asyncDispose]()
  await mounted?.[Symbol.asyncDispose]()
  fs.rmSync(base, { recursive: true, force: true })
})

describe('a quota of bytes', () => {
  beforeEach(() => withQuota({ bytes: BYTES }))

  it('is filled to the last block and not one further, in small files and in large ones', async () => {
    for (let at = 0; at < 60; at++) await c.writeFile(`small${at}`, 'y'.repeat(100))
    const fd = await c.open('big', O_RDWR | O_CREAT)
    for (let at = 0; at < 40; at++) await c.write(fd, 'z'.repeat(BLOCK), at * BLOCK)
    expect(await mounted.view.usage()).toEqual({ bytes: BYTES, inodes: 61 })
    expect(await c.errno('write', fd, 'z', 40 * BLOCK)).toBe('EDQUOT')
    expect(await c.write(fd, 'again', 39 * BLOCK)).toBe(5)
    const one = await c.open('small0', O_RDWR)
    expect(await c.write(one, 'y'.repeat(BLOCK), 0)).toBe(BLOCK)
    expect(await c.errno('write', one, 'y', BLOCK)).toBe('EDQUOT')
    expect((await c.fstat(one)).size).toBe(BLOCK)
    // An empty file takes none.
    await c.close(await c.open('empty', O_RDWR | O_CREAT))
  })

  it('is told by statfs', async () => {
    expect(await c.statfs('.')).toMatchObject({ bsize: BLOCK, blocks: 100, bfree: 100, bavail: 100 })
    await c.writeFile('ten', 'x'.repeat(10 * BLOCK))
    expect(await c.statfs('.')).toMatchObject({ blocks: 100, bfree: 90 })
  })

  it('is given back by whatever makes room, once nobody has it open', async () => {
    await c.writeFile('a', 'x'.repeat(60 * BLOCK))
    await c.truncate('a', 30 * BLOCK)
    expect((await mounted.view.usage()).bytes).toBe(30 * BLOCK)
    await c.writeFile('b', 'x'.repeat(70 * BLOCK))
    expect(await c.errno('writeFile', 'c', 'x')).toBe('EDQUOT')
    await c.rename('a', 'b')
    await expect.poll(async () => (await mounted.view.usage()).bytes).toBe(30 * BLOCK)
    const fd = await c.open('b', O_RDWR)
    await c.unlink('b')
    expect((await mounted.view.usage()).bytes).toBe(30 * BLOCK)
    await c.close(fd)
    await expect.poll(async () => (await mounted.view.usage()).bytes).toBe(0)
    await c.writeFile('d', 'x'.repeat(BYTES))
  })

  it('counts a file of the base only when it is copied up', async () => {
    await c.chmod('large', 0o600)
    expect((await mounted.view.usage()).bytes).toBe(0)
    const fd = await c.open('large', O_RDWR)
    await c.write(fd, 'changed', 0)
    expect((await mounted.view.usage()).bytes).toBe(50 * BLOCK)
    await c.writeFile('rest', 'x'.repeat(50 * BLOCK))
    const small = await c.open('small', O_RDWR)
    expect(await c.errno('write', small, 'y', 0)).toBe('EDQUOT')
    expect(await c.readFile('small')).toBe('x')
    expect(await c.errno('write', fd, 'y', 50 * BLOCK)).toBe('EDQUOT')
  })

  it('counts the blocks of a sparse file, not its holes', async () => {
    const fd = await c.open('sparse', O_RDWR | O_CREAT)
    await c.ftruncate(fd, 10 * 2 ** 30)
    await c.write(fd, 'x', 2 ** 30)
    const used = (await mounted.view.usage()).bytes
    expect(used).toBeGreaterThanOrEqual(BLOCK)
    expect(used).toBeLessThan(4 * BLOCK)
    expect(await c.errno('fallocate', fd, KEEP_SIZE, 0, 2 * BYTES)).toBe('EDQUOT')
    await c.fallocate(fd, KEEP_SIZE, 0, 50 * BLOCK)
    expect((await mounted.view.usage()).bytes).toBeGreaterThanOrEqual(50 * BLOCK + used)
    await c.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 50 * BLOCK)
    expect((await mounted.view.usage()).bytes).toBeLessThan(8 * BLOCK)
    // Far beyond the edge in one step, and exactly up to it.
    expect(await c.errno('write', fd, 'x'.repeat(BYTES), 2 * 2 ** 30)).toBe('EDQUOT')
    const left = BYTES - (await mounted.view.usage()).bytes
    await c.write(fd, 'x'.repeat(left - 2 * BLOCK), 3 * 2 ** 30)
  })

  it('counts attributes and link targets that do not fit into an inode', async () => {
    await c.setxattr('small', 'user.short', 'x'.repeat(50))
    expect((await mounted.view.usage()).bytes).toBe(0)
    await c.setxattr('small', 'user.long', 'x'.repeat(5000))
    expect((await mounted.view.usage()).bytes).toBe(2 * BLOCK)
    await c.symlink('t'.repeat(60), 'long')
    expect((await mounted.view.usage()).bytes).toBe(3 * BLOCK)
    await c.removexattr('small', 'user.long')
    await c.unlink('long')
    // The kernel tells that it has forgotten an inode when it gets to it.
    await expect.poll(async () => (await mounted.view.usage()).bytes).toBe(0)
  })

  it('is the same after a remount, and can be changed while mounted', async () => {
    await c.writeFile('a', 'x'.repeat(20 * BLOCK + 1))
    await c.link('a', 'second')
    await c.mkdir('dir')
    const before = await mounted.view.usage()
    expect(before).toEqual({ bytes: 21 * BLOCK, inodes: 3 })
    await c.chdir('/')
    await mounted.remount()
    await c.chdir(mounted.path)
    expect(await mounted.view.usage()).toEqual(before)
    await mounted.view.setQuota({ bytes: 21 * BLOCK })
    expect(await c.errno('writeFile', 'b', 'x')).toBe('EDQUOT')
    await mounted.view.setQuota({ bytes: 22 * BLOCK })
    await c.writeFile('b', 'x')
    await mounted.view.setQuota({ bytes: BLOCK })
    expect(await c.errno('writeFile', 'more', 'x')).toBe('EDQUOT')
    await c.unlink('b')
    expect(await c.readFile('second')).toBe('x'.repeat(20 * BLOCK + 1))
  })
})

describe('a quota of inodes', () => {
  beforeEach(() => withQuota({ inodes: INODES }))

  it('takes so many new inodes and further names, of every kind', async () => {
    for (let at = 0; at < 5; at++) await c.writeFile(`f${at}`, '')
    await c.mkdir('dir')
    await c.symlink('x', 'link')
    await c.mknod('fifo', 0o010644)
    await c.link('f0', 'dir/again')
    expect(await c.statfs('.')).toMatchObject({ files: 10, ffree: 1 })
    const fd = await c.open('.', 0o20200000 | O_RDWR)
    expect(await c.errno('writeFile', 'more', '')).toBe('EDQUOT')
    expect(await c.errno('mkdir', 'more')).toBe('EDQUOT')
    expect(await c.errno('symlink', 'x', 'more')).toBe('EDQUOT')
    expect(await c.errno('link', 'f1', 'more')).toBe('EDQUOT')
    expect(await c.errno('link', 'small', 'more')).toBe('EDQUOT')
    await c.close(fd)
    await c.link('small', 'more')
    await c.unlink('f0')
    await c.rename('f1', 'f2')
    await c.chmod('small', 0o600)
    await c.writeFile('one', '')
    await c.writeFile('two', '')
    expect(await c.errno('writeFile', 'three', '')).toBe('EDQUOT')
  })

  it('counts what is deleted and still open, of all processes together, until it is closed', async () => {
    await using d = await startCaller(mounted.path)
    const before = (await mounted.view.usage()).inodes
    const open: { who: Caller; fd: number }[] = []
    for (let at = before; at < INODES; at++) {
      const who = at % 2 === 0 ? c : d
      open.push({ who, fd: await who.open('held', O_RDWR | O_CREAT) })
      await who.unlink('held')
    }
    expect(await d.errno('open', 'held', O_RDWR | O_CREAT)).toBe('EDQUOT')
    expect((await mounted.view.usage()).inodes).toBe(INODES)
    for (const { who, fd } of open) await who.close(fd)
    await expect.poll(async () => (await mounted.view.usage()).inodes).toBe(before)
  })

  it('has room for another as soon as one is deleted, whatever else goes on', async () => {
    for (let at = 0; at < 10; at++) await c.writeFile(`f${at}`, '')
    const others = await Promise.all([startCaller(mounted.path), startCaller(mounted.path)])
    let done = false
    const noise = others.map(async (other, at) => {
      while (!done) await other.answer('stat', `missing${at}${Math.random()}`)
    })
    for (let at = 0; at < 300; at++) {
      await c.unlink(`f${at}`)
      await c.writeFile(`f${at + 10}`, '')
    }
    done = true
    await Promise.all(noise)
    for (const other of others) await other[Symbol.asyncDispose]()
    expect(await c.errno('writeFile', 'more', '')).toBe('EDQUOT')
  })
})

describe('a change from outside', () => {
  it('is refused beyond the quota, and takes nothing then', async () => {
    await withQuota({ bytes: 10 * BLOCK, inodes: 3 })
    const write = (path: string, text: string) => mounted.view.write(path, 'owner', once(text), {})
    await expect(write('big', 'x'.repeat(11 * BLOCK))).rejects.toThrow('EDQUOT')
    expect(await mounted.view.usage()).toEqual({ bytes: 0, inodes: 0 })
    await write('big', 'x'.repeat(9 * BLOCK))
    // The old contents are there until the new ones are whole: there must be room for both.
    await write('big', 'y')
    expect(await mounted.view.usage()).toEqual({ bytes: BLOCK, inodes: 1 })
  })
})

async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
