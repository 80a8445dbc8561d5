import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { hashBytes } from './hash.ts'
import { MAX_INLINE_BYTES } from './limits.ts'
import { BlobUpload } from './upload.ts'

describe('an upload', () => {
  it('of small and large blobs is all there once it is committed', async () => {
    await using made = await temporaryStore()
    await using upload = new BlobUpload({}, { store: made.store })
    const sizes = Array.from({ length: 400 }, (_, index) =>
      index % 4 === 0 ? MAX_INLINE_BYTES + index : 15_000 + index,
    )
    const hashes: string[] = []
    for (const size of sizes) hashes.push((await upload.addBytes({ size }, randomBytes(size))).hash)
    await upload.commit()
    expect(await made.store.blobSizes(hashes)).toEqual(sizes)
    const store = await made.reopen()
    for (const hash of hashes) await store.verifyBlob(hash)
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
  })

  it('refuses a blob that is not what it is said to be and takes the next one', async () => {
    await using made = await temporaryStore()
    await using upload = new BlobUpload({}, { store: made.store })
    const good = randomBytes(30_000)
    const declared = { hash: hashBytes(good) }
    await expect(upload.addStream(declared, [good.subarray(1)])).rejects.toMatchObject({ code: 'mismatch' })
    await expect(upload.addBytes(declared, good.subarray(0, 9))).rejects.toMatchObject({ code: 'mismatch' })
    await upload.addStream(declared, [good])
    await upload.commit()
    await made.store.verifyBlob(declared.hash)
  })

  it('that is given up leaves no temporary file', async () => {
    await using made = await temporaryStore()
    {
      await using upload = new BlobUpload({}, { store: made.store })
      for (let index = 0; index < 20; index++) await upload.addStream({}, [randomBytes(40_000)])
      await upload.addBytes({}, Buffer.from('small'))
    }
    expect(await readdir(`${made.dir}/tmp`)).toEqual([])
    expect(await made.store.missingBlobs([hashBytes(Buffer.from('small'))])).toHaveLength(1)
  })

  it('fails as a whole when a blob could not be made durable', async () => {
    await using made = await temporaryStore()
    await using upload = new BlobUpload({}, { store: made.store })
    await upload.addBytes({}, Buffer.from('small'))
    made.store.putSmallBlobs = () => Promise.reject(new Error('the disk is gone'))
    await expect(upload.commit()).rejects.toThrow('the disk is gone')
    await expect(upload.addBytes({}, Buffer.from('more'))).rejects.toThrow('the disk is gone')
  })
})
