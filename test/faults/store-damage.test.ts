import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { beforeEach, describe, expect, it } from 'vitest'
import { hashKey, KIND_CONTENTS, KIND_TREE } from '../../fs-layer/store/database.ts'
import { hashBytes } from '../../fs-layer/store/hash.ts'
import { blobPath } from '../../fs-layer/store/reader.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { temporaryStore } from '../fixtures/temporary-store.ts'
import { needs } from '../needs.ts'

const LARGE = Buffer.from('large file of the base\n'.repeat(4000))
const HUGE = Buffer.alloc(6 << 20, 'huge ')

describe('a blob of the base whose file is damaged', () => {
  beforeEach((context) => needs(context, 'root', 'fuse'))

  it.each([
    ['is shorter', (path: string) => fs.truncateSync(path, 5000), '5000 bytes instead of'],
    ['is longer', (path: string) => fs.appendFileSync(path, 'more'), 'bytes instead of'],
    ['has other bytes', (path: string) => flip(path, 7000), 'other contents than were stored'],
    ['is gone', (path: string) => fs.rmSync(path), 'is gone'],
  ])(
    '%s: reading and changing it is EIO, one line in the log names it, and other files are read',
    async (_, damage, reason) => {
      const base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
      try {
        fs.writeFileSync(join(base, 'large'), LARGE)
        fs.writeFileSync(join(base, 'huge'), HUGE)
        fs.writeFileSync(join(base, 'other'), 'other')
        await using mounted = await mountedView({ base })
        for (const contents of [LARGE, HUGE]) damage(blobPath(mounted.storeDir, hashBytes(contents)))
        for (const name of ['large', 'huge']) {
          const path = join(mounted.path, name)
          expect(errorCode(() => fs.readFileSync(path))).toBe('EIO')
          expect(errorCode(() => fs.readFileSync(path))).toBe('EIO')
          expect(errorCode(() => fs.truncateSync(path, 100))).toBe('EIO')
          expect(errorCode(() => fs.appendFileSync(path, 'more'))).toBe('EIO')
        }
        expect(fs.readFileSync(join(mounted.path, 'other'), 'utf8')).toBe('other')
        // Nothing of it is in the delta: what is made anew is whole.
        fs.rmSync(join(mounted.path, 'large'))
        fs.writeFileSync(join(mounted.path, 'large'), 'anew')
        expect(fs.readFileSync(join(mounted.path, 'large'), 'utf8')).toBe('anew')
        // Behind the lines on their way here.
        await mounted.view.usage()
        expect(mounted.log).toHaveLength(2)
        expect(mounted.log[0]).toContain(hashBytes(LARGE))
        expect(mounted.log[0]).toContain(reason)
        expect(mounted.log[0]).toContain('remedy')
      } finally {
        fs.rmSync(base, { recursive: true })
      }
    },
  )
})

describe('a store', () => {
  it('hashes a large blob that was written to since it was stored, and one that comes from elsewhere only once', async () => {
    await using temporary = await temporaryStore()
    const { hash } = await temporary.store.putBlob({}, [LARGE])
    const path = blobPath(temporary.dir, hash)
    expect(fs.statSync(path).mtimeMs).toBe(1000)
    fs.utimesSync(path, 50, 50)
    expect((await temporary.reopen()).blobSync(hash)).toMatchObject({ size: LARGE.length })
    expect(fs.statSync(path).mtimeMs).toBe(1000)
    flip(path, 10)
    const store = await temporary.reopen()
    expect(() => store.blobSync(hash)).toThrow(expect.objectContaining({ code: 'corrupt', hash }))
  })

  it('says of a small blob and of a tree with other bytes that they are damaged', async () => {
    await using temporary = await temporaryStore()
    const { hash } = await temporary.store.putBlob({}, [Buffer.from('small')])
    await temporary.store[Symbol.asyncDispose]()
    const tree = hashBytes(Buffer.from('no tree'))
    const level = new Level<Buffer, Buffer>(join(temporary.dir, 'index'), {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    })
    await level.put(hashKey(KIND_CONTENTS, hash), Buffer.from('other'))
    await level.put(hashKey(KIND_TREE, tree), Buffer.from('other'))
    await level.close()
    const store = await temporary.reopen()
    expect(() => store.blobSync(hash)).toThrow(expect.objectContaining({ code: 'corrupt', hash }))
    expect(() => store.treeSync(tree)).toThrow(expect.objectContaining({ code: 'corrupt', hash: tree }))
  })

  it.each([
    [
      'the middle of a log is damaged',
      (index: string) => flip(join(index, logOf(index)), 40_000),
      /\.log is damaged at byte/,
    ],
    [
      'CURRENT is gone',
      (index: string) => fs.renameSync(join(index, 'CURRENT'), join(index, 'lost')),
      /CURRENT is gone/,
    ],
    ['the manifest is damaged', (index: string) => flip(join(index, find(index, 'MANIFEST-')), 10), /index/],
  ])('does not open where %s, says so, and changes nothing', async (_, damage, message) => {
    await using temporary = await temporaryStore()
    for (let n = 0; n < 10; n++) await temporary.store.putBlob({}, [Buffer.alloc(15_000, `${n}`)])
    await temporary.store[Symbol.asyncDispose]()
    const index = join(temporary.dir, 'index')
    const copy = `${temporary.scratch}/copy`
    fs.cpSync(index, copy, { recursive: true })
    damage(index)
    const opened = Store.open({ dir: temporary.dir })
    await expect(opened).rejects.toMatchObject({ name: 'StoreError', code: 'corrupt' })
    await expect(opened).rejects.toThrow(message)
    fs.rmSync(index, { recursive: true })
    fs.cpSync(copy, index, { recursive: true })
    const store = await temporary.reopen()
    for (let n = 0; n < 10; n++) await store.verifyBlob(hashBytes(Buffer.alloc(15_000, `${n}`)))
  })

  it('opens where the end of a log is cut off, with all that is before', async () => {
    await using temporary = await temporaryStore()
    for (let n = 0; n < 10; n++) await temporary.store.putBlob({}, [Buffer.alloc(15_000, `${n}`)])
    await temporary.store[Symbol.asyncDispose]()
    const index = join(temporary.dir, 'index')
    const log = join(index, logOf(index))
    fs.truncateSync(log, fs.statSync(log).size - 1000)
    const store = await temporary.reopen()
    for (let n = 0; n < 9; n++) await store.verifyBlob(hashBytes(Buffer.alloc(15_000, `${n}`)))
    expect(await store.missingBlobs([hashBytes(Buffer.alloc(15_000, '9'))])).toHaveLength(1)
  })
})

function find(index: string, part: string): string {
  return fs.readdirSync(index).find((name) => name.includes(part)) as string
}

function logOf(index: string): string {
  return find(index, '.log')
}

function flip(path: string, offset: number): void {
  const bytes = fs.readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x10, offset)
  // In place, as a disk or a stray tool does it.
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, bytes, offset, 1, offset)
  fs.closeSync(fd)
}
