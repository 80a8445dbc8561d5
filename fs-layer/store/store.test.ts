import { randomBytes } from 'node:crypto'
import { readdir, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { Level } from 'level'
import { describe, expect, it } from 'vitest'
import { collect } from '../../test/fixtures/collect.ts'
import { temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { hashKey, KIND_CONTENTS, KIND_TREE, nameKey } from './database.ts'
import { hashBytes } from './hash.ts'
import { MAX_INLINE_BYTES, MAX_ROOT_NAME_BYTES } from './limits.ts'
import type { Root } from './objects.ts'
import { blobPath, databaseDir, StoreReader } from './reader.ts'
import { Store } from './store.ts'
import { encodeTree } from './tree.ts'

const large = () => randomBytes(MAX_INLINE_BYTES + 1)

async function contents(store: Store, hash: string, range?: { offset?: number; length?: number }): Promise<Buffer> {
  return Buffer.concat(await collect(store.readFile(hash, range)))
}

async function emptyVersion(store: Store): Promise<string> {
  const bytes = encodeTree({ entries: [] })
  const tree = hashBytes(bytes)
  const root: Root = { mode: 0o755, mtime: 0, mtimeNsec: 0, tree, inodes: 1, bytes: 0, files: 0 }
  return (await store.putTrees(new Map([[tree, bytes]]), root)) as string
}

/** Changes the database behind the store's back. */
async function tamper(dir: string, key: Buffer, value: Buffer): Promise<void> {
  const level = new Level<Buffer, Buffer>(databaseDir(dir), { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await level.put(key, value)
  await level.close()
}

describe('a blob', () => {
  it.each([0, 1, MAX_INLINE_BYTES - 1, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 3_000_000])(
    'of %i bytes comes back as it went in, after a restart too',
    async (size) => {
      await using made = await temporaryStore()
      const bytes = randomBytes(size)
      const hash = hashBytes(bytes)
      const parts = [bytes.subarray(0, size >> 1), Buffer.alloc(0), bytes.subarray(size >> 1)]
      expect(await made.store.putBlob({ hash, size }, parts)).toEqual({ hash, size })
      expect(bytes.equals(await contents(made.store, hash))).toBe(true)
      const store = await made.reopen()
      expect(bytes.equals(await contents(store, hash))).toBe(true)
      await store.verifyBlob(hash)
    },
  )

  it('of 16 KiB is inline and one byte more is a file that nobody may write to', async () => {
    await using made = await temporaryStore()
    const small = await made.store.putBlob({}, [randomBytes(MAX_INLINE_BYTES)])
    expect(made.store.blobSync(small.hash)).toMatchObject({ inline: expect.any(Buffer), size: MAX_INLINE_BYTES })
    const { hash } = await made.store.putBlob({}, [large()])
    expect(made.store.blobSync(hash)).toEqual({ path: blobPath(made.dir, hash), size: MAX_INLINE_BYTES + 1 })
    expect((await stat(blobPath(made.dir, hash))).mode & 0o222).toBe(0)
  })

  it.each([
    ['another hash', { hash: 'ab'.repeat(32) }],
    ['fewer bytes', { size: 10 }],
    ['more bytes', { size: 100_000 }],
  ])('that is declared with %s is refused and leaves nothing', async (_, declared) => {
    await using made = await temporaryStore()
    for (const bytes of [randomBytes(100), randomBytes(50_000)]) {
      await expect(made.store.putBlob(declared, [bytes])).rejects.toMatchObject({ code: 'mismatch' })
      expect(await made.store.missingBlobs([hashBytes(bytes)])).toHaveLength(1)
    }
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })

  it('whose source fails is not there, and the source is closed', async () => {
    await using made = await temporaryStore()
    const cut = new Error('cut')
    for (const size of [1, 50_000]) {
      let closed = false
      const source = async function* () {
        try {
          yield randomBytes(size)
          throw cut
        } finally {
          closed = true
        }
      }
      await expect(made.store.putBlob({}, source())).rejects.toBe(cut)
      expect(closed).toBe(true)
    }
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })

  it('that grows over its declared size is refused before the rest is asked for', async () => {
    await using made = await temporaryStore()
    let given = 0
    let closed = false
    const endless = async function* () {
      try {
        for (;;) {
          given++
          yield Buffer.alloc(1000)
        }
      } finally {
        closed = true
      }
    }
    for (const size of [2500, 50_500]) {
      given = 0
      await expect(made.store.putBlob({ size }, endless())).rejects.toMatchObject({ code: 'mismatch' })
      expect(given).toBe(Math.ceil(size / 1000))
    }
    expect(closed).toBe(true)
  })

  it('that is put twice at once, in the same directory, is there once', async () => {
    await using made = await temporaryStore()
    const bytes = large()
    const put = await Promise.all([1, 2, 3].map(() => made.store.putBlob({}, [bytes])))
    expect(new Set(put.map(({ hash }) => hash))).toEqual(new Set([hashBytes(bytes)]))
    await made.store.verifyBlob(hashBytes(bytes))
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })

  it('is read in part', async () => {
    await using made = await temporaryStore()
    for (const bytes of [randomBytes(1000), randomBytes(700_000)]) {
      const { hash } = await made.store.putBlob({}, [bytes])
      expect(await contents(made.store, hash, { offset: 10, length: 500 })).toEqual(bytes.subarray(10, 510))
      expect(await contents(made.store, hash, { offset: 990 })).toEqual(bytes.subarray(990))
      expect(await contents(made.store, hash, { offset: 10_000_000 })).toEqual(Buffer.alloc(0))
    }
  })

  it('that is not in the store is missing', async () => {
    await using made = await temporaryStore()
    const hash = '00'.repeat(32)
    expect(() => made.store.blobSync(hash)).toThrow(expect.objectContaining({ code: 'missing', hash }))
    await expect(contents(made.store, '../../etc/passwd')).rejects.toMatchObject({ code: 'invalid' })
  })
})

describe('small blobs together', () => {
  it('are all refused where one is not what it is said to be', async () => {
    await using made = await temporaryStore()
    const good = randomBytes(10)
    const batch = [{ data: good }, { data: randomBytes(10), hash: hashBytes(good) }]
    await expect(made.store.putSmallBlobs(batch)).rejects.toMatchObject({ code: 'mismatch' })
    await expect(made.store.putSmallBlobs([{ data: large() }])).rejects.toMatchObject({ code: 'limit' })
    expect(await made.store.missingBlobs([hashBytes(good)])).toEqual([hashBytes(good)])
  })

  it('that are missing are told once each, in order', async () => {
    await using made = await temporaryStore()
    const [a, b, c] = ['a', 'b', 'c'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer]
    await made.store.putSmallBlobs([{ data: b }])
    const asked = [c, b, a, c, a].map(hashBytes)
    expect(await made.store.missingBlobs(asked)).toEqual([hashBytes(c), hashBytes(a)])
    await expect(made.store.missingBlobs(['short'])).rejects.toMatchObject({ code: 'invalid' })
  })
})

describe('damage', () => {
  it('of a small blob or a tree is found when it is read', async () => {
    await using made = await temporaryStore()
    const { hash } = await made.store.putBlob({}, [Buffer.from('good')])
    const { tree } = made.store.rootSync(await emptyVersion(made.store))
    await made.store[Symbol.asyncDispose]()
    await tamper(made.dir, hashKey(KIND_CONTENTS, hash), Buffer.from('evil'))
    await tamper(made.dir, hashKey(KIND_TREE, tree), Buffer.from('evil'))
    const store = await made.reopen()
    expect(() => store.blobSync(hash)).toThrow(expect.objectContaining({ code: 'corrupt' }))
    expect(() => store.treeSync(tree)).toThrow(expect.objectContaining({ code: 'corrupt' }))
  })

  it('of a large blob is found: gone, cut, or with another content', async () => {
    await using made = await temporaryStore()
    const [gone, cut, other] = await Promise.all([1, 2, 3].map(() => made.store.putBlob({}, [large()])))
    if (gone === undefined || cut === undefined || other === undefined) throw new Error('unreachable')
    await unlink(blobPath(made.dir, gone.hash))
    await truncate(blobPath(made.dir, cut.hash), 5)
    await writeFile(blobPath(made.dir, other.hash), large())
    expect(() => made.store.blobSync(gone.hash)).toThrow(expect.objectContaining({ code: 'corrupt' }))
    expect(() => made.store.blobSync(cut.hash)).toThrow(expect.objectContaining({ code: 'corrupt' }))
    await expect(made.store.verifyBlob(other.hash)).rejects.toMatchObject({ code: 'corrupt' })
  })

  it('that a crash left behind, a half-written file, is cleared away at the next start', async () => {
    await using made = await temporaryStore()
    await writeFile(`${made.dir}/tmp/7`, 'half')
    await made.reopen()
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })
})

describe('names of roots', () => {
  it('are kept, replaced, listed in order and deleted', async () => {
    await using made = await temporaryStore()
    const hash = await emptyVersion(made.store)
    for (const name of ['b', 'a', 'ü', 'b']) await made.store.setRoots([[name, hash]])
    const store = await made.reopen()
    expect(await collect(store.roots())).toEqual(['a', 'b', 'ü'].map((name) => ({ name, hash })))
    await store.deleteRoot('b')
    await store.deleteRoot('never there')
    expect(await store.getRoot('a')).toBe(hash)
    expect(await store.getRoot('b')).toBeUndefined()
  })

  it('have 1 to 512 bytes and a root that is there', async () => {
    await using made = await temporaryStore()
    const hash = await emptyVersion(made.store)
    await made.store.setRoots([['n'.repeat(MAX_ROOT_NAME_BYTES), hash]])
    for (const name of ['', 'n'.repeat(MAX_ROOT_NAME_BYTES + 1)]) {
      await expect(made.store.setRoots([[name, hash]])).rejects.toMatchObject({ code: 'invalid' })
    }
    await expect(made.store.setRoots([['a', '00'.repeat(32)]])).rejects.toMatchObject({ code: 'missing' })
  })
})

describe('a store', () => {
  it('that another process has open is locked, and the error says what to do', async () => {
    await using made = await temporaryStore()
    const { href } = new URL('../../dist/fs-layer/store/store.js', import.meta.url)
    const script = `import { Store } from '${href}'
      await Store.open({ dir: process.argv[1] }).catch((error) => console.log(error.code, error.message))`
    const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script, made.dir], {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
    })
    expect(stdout).toMatch(/^locked .*stop that one, or use another directory/)
  })

  it('shows a reader of the same process what was put after the reader was opened', async () => {
    await using made = await temporaryStore()
    await using reader = await StoreReader.open({ dir: made.dir })
    const { hash } = await made.store.putBlob({}, [Buffer.from('new')])
    const root = await emptyVersion(made.store)
    expect(reader.blobSync(hash)).toMatchObject({ inline: Buffer.from('new') })
    expect(reader.treeSync(reader.rootSync(root).tree)).toEqual({ entries: [] })
  })

  it('of a later format is left alone', async () => {
    await using made = await temporaryStore()
    await made.store[Symbol.asyncDispose]()
    await tamper(made.dir, nameKey(0x73, 'format'), Buffer.of(2))
    await expect(Store.open({ dir: made.dir })).rejects.toMatchObject({ code: 'format' })
    await tamper(made.dir, nameKey(0x73, 'format'), Buffer.of(1))
    await made.reopen()
  })

  it('that is closed says so', async () => {
    await using made = await temporaryStore()
    await made.store[Symbol.asyncDispose]()
    await expect(made.store.putBlob({}, [Buffer.from('x')])).rejects.toMatchObject({ code: 'closed' })
    await expect(made.store.putBlob({}, [large()])).rejects.toMatchObject({ code: 'closed' })
    expect(() => made.store.blobSync('00'.repeat(32))).toThrow(expect.objectContaining({ code: 'closed' }))
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })

  it('keeps as much of the disk free as it is told to', async () => {
    await using made = await temporaryStore({ minFreeBytes: 0 })
    await made.store[Symbol.asyncDispose]()
    const store = await Store.open({ dir: made.dir, minFreeBytes: Number.MAX_SAFE_INTEGER })
    for (const bytes of [Buffer.from('x'), large()]) {
      await expect(store.putBlob({}, [bytes])).rejects.toMatchObject({ code: 'full' })
    }
    await store.deleteRoot('nothing')
    await store[Symbol.asyncDispose]()
    await made.reopen()
  })
})
