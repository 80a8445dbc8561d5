import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../fs-layer/store/database.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { needs } from '../needs.ts'

const MIB = 1024 * 1024

beforeEach((context) => needs(context, 'root'))

/** A file system of its own, by default of 24 MiB; enlarged, of 64. */
async function smallDisk(mib = 24): Promise<{ path: string; enlarge(): Promise<void> } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'croft-full-'))
  await execa('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'croft-test', path])
  return {
    path,
    async enlarge() {
      await execa('mount', ['-o', 'remount,size=64m', path])
    },
    async [Symbol.asyncDispose]() {
      await execa('umount', [path])
      await rmdir(path)
    },
  }
}

/** Puts blobs of a size until one fails, and gives what was acknowledged and the failure. */
async function fill(store: Store, bytes: number): Promise<{ put: string[]; failure: unknown }> {
  const put: string[] = []
  for (;;) {
    try {
      put.push((await store.putBlob({}, [randomBytes(bytes)])).hash)
    } catch (failure) {
      return { put, failure }
    }
  }
}

describe('a store on a disk that is full', () => {
  it.each([
    ['small blobs', 16_000],
    ['large blobs', 3 * MIB],
  ])('says so to %s, keeps what it acknowledged and takes more once there is room', async (_, bytes) => {
    // Enough for the database to tidy up in, also where it comes to that late: it writes again what it has before it
    // deletes the first.
    const minFreeBytes = 24 * MIB
    await using disk = await smallDisk(64)
    const dir = join(disk.path, 'store')
    const ballast = join(disk.path, 'ballast')
    await writeFile(ballast, Buffer.alloc(minFreeBytes))
    await using store = await Store.open({ dir, minFreeBytes })
    const { put, failure } = await fill(store, bytes)
    expect(failure).toMatchObject({ name: 'StoreError', code: 'full' })
    expect(put.length).toBeGreaterThan(2)
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    for (const hash of put) await store.verifyBlob(hash)

    await rm(ballast)
    const more = await store.putBlob({}, [randomBytes(20_000)])
    await store.verifyBlob(more.hash)
  })

  it.each([
    ['small blobs', 16_000],
    ['large blobs', MIB],
  ])('keeps every acknowledged one of %s even where the database itself found no room', async (_, bytes) => {
    await using disk = await smallDisk()
    const dir = join(disk.path, 'store')
    const acknowledged: string[] = []
    {
      await using store = await Store.open({ dir, minFreeBytes: 0 })
      const { put, failure } = await fill(store, bytes)
      expect(failure).toMatchObject({ name: 'StoreError', code: 'full' })
      acknowledged.push(...put)
      // With room again the database may go on or want a restart; it must not lose anything either way.
      await disk.enlarge()
      for (let attempt = 0; attempt < 20; attempt++) {
        const data = randomBytes(16_000)
        await store.putBlob({}, [data]).then(
          ({ hash }) => acknowledged.push(hash),
          (error: unknown) => expect(error).toMatchObject({ code: 'full' }),
        )
      }
    }
    await using store = await Store.open({ dir, minFreeBytes: 0 })
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(acknowledged.length).toBeGreaterThan(2)
    for (const hash of acknowledged) await store.verifyBlob(hash)
    await store.putBlob({}, [randomBytes(100)])
  })

  it('loses nothing that is acknowledged after a record was cut off in the log of the database', async () => {
    await using disk = await smallDisk()
    const dir = join(disk.path, 'store')
    const acknowledged: string[] = []
    {
      await using store = await Store.open({ dir, minFreeBytes: 0 })
      acknowledged.push((await store.putBlob({}, [randomBytes(1000)])).hash)
      const ballast = join(disk.path, 'ballast')
      await expect(writeFile(ballast, Buffer.alloc(32 * MIB))).rejects.toMatchObject({ code: 'ENOSPC' })
      // Not the store's own check: LevelDB itself meets the full disk.
      const database = (store as unknown as { database: Database }).database
      const cutOff = { key: Buffer.from('cut off'), value: randomBytes(16_000) }
      await expect(database.write([cutOff])).rejects.toMatchObject({ code: 'full' })
      await expect(database.write([cutOff])).rejects.toMatchObject({ code: 'full' })
      await rm(ballast)
      for (let index = 0; index < 5; index++) {
        acknowledged.push((await store.putBlob({}, [randomBytes(2000)])).hash)
      }
    }
    await using store = await Store.open({ dir, minFreeBytes: 0 })
    for (const hash of acknowledged) await store.verifyBlob(hash)
  })

  it('stops a large blob of undeclared size on its way', async () => {
    await using disk = await smallDisk()
    const dir = join(disk.path, 'store')
    await using store = await Store.open({ dir, minFreeBytes: 0 })
    const endless = async function* () {
      for (;;) yield Buffer.alloc(MIB)
    }
    await expect(store.putBlob({}, endless())).rejects.toMatchObject({ code: 'full' })
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
  })
})
