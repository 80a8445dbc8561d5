import { randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { chmod, link, lutimes, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { collect } from '../../test/fixtures/collect.ts'
import { temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { importDirectory } from './import.ts'
import { list, lookup } from './lookup.ts'
import { Store } from './store.ts'

describe('importing a folder', () => {
  it('takes it as it is: modes, times, links, empty directories', async () => {
    await using made = await temporaryStore()
    const dir = made.scratch
    const big = randomBytes(3_000_000)
    await mkdir(join(dir, 'sub/empty'), { recursive: true })
    await writeFile(join(dir, 'sub/run'), '#!/bin/sh\n')
    await chmod(join(dir, 'sub/run'), 0o4755)
    await writeFile(join(dir, 'sub/big'), big)
    await writeFile(join(dir, 'sub/medium'), big.subarray(0, 100_000))
    await writeFile(join(dir, 'none'), '')
    await link(join(dir, 'sub/run'), join(dir, 'hard'))
    await symlink('/etc/passwd', join(dir, 'sub/outside'))
    await execa('touch', ['-d', '2001-02-03 04:05:06.123456789Z', join(dir, 'none')])
    await execa('touch', ['-d', '1969-12-31 23:59:58.5Z', join(dir, 'sub/run')])
    await lutimes(join(dir, 'sub/outside'), 5, 5)
    await utimes(join(dir, 'sub'), 6, 6)
    await chmod(dir, 0o711)

    const { hash, root, skipped } = await importDirectory(made.store, dir)
    expect(skipped).toEqual([])
    expect(root).toMatchObject({ mode: 0o711, inodes: 9, files: 6, bytes: 3_100_020 })
    const listed = (await collect(list(made.store, hash, '', true))).map(({ path, entry }) => `${path} ${entry.kind}`)
    expect(listed).toEqual([
      'hard file',
      'none file',
      'sub directory',
      'sub/big file',
      'sub/empty directory',
      'sub/medium file',
      'sub/outside symlink',
      'sub/run file',
    ])
    expect(lookup(made.store, hash, 'none')).toMatchObject({ size: 0, mtime: 981173106, mtimeNsec: 123456789 })
    expect(lookup(made.store, hash, 'sub/run')).toMatchObject({ mode: 0o4755, mtime: -2, mtimeNsec: 500_000_000 })
    expect(lookup(made.store, hash, 'sub/outside')).toMatchObject({ target: '/etc/passwd', mtime: 5, mtimeNsec: 0 })
    expect(lookup(made.store, hash, 'sub')).toMatchObject({ mtime: 6, bytes: 3_100_010 })
    const entry = lookup(made.store, hash, 'sub/big')
    if (entry.kind !== 'file') throw new Error('not a file')
    expect(big.equals(Buffer.concat(await collect(made.store.readFile(entry.hash))))).toBe(true)
  })

  it('twice gives the same version', async () => {
    await using made = await temporaryStore()
    await writeFile(join(made.scratch, 'a'), randomBytes(50_000))
    await writeFile(join(made.scratch, 'b'), randomBytes(2_000_000))
    const first = await importDirectory(made.store, made.scratch)
    expect(await importDirectory(made.store, made.scratch)).toEqual(first)
  })

  it('keeps names that are no UTF-8', async () => {
    await using made = await temporaryStore()
    const name = Buffer.from([0xff, 0x0a, 0xc3])
    await writeFile(Buffer.concat([Buffer.from(`${made.scratch}/`), name]), 'x')
    const { hash } = await importDirectory(made.store, made.scratch)
    expect(lookup(made.store, hash, name.toString('latin1'))).toMatchObject({ kind: 'file', size: 1 })
  })

  it('leaves out sockets and FIFOs, and says so', async () => {
    await using made = await temporaryStore()
    await execa('mkfifo', [join(made.scratch, 'fifo')])
    const server = createServer()
    await new Promise<void>((done) => server.listen(join(made.scratch, 'socket'), done))
    const { root, skipped } = await importDirectory(made.store, made.scratch)
    await new Promise((done) => server.close(done))
    expect(root.inodes).toBe(1)
    expect(skipped.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
      { path: 'fifo', reason: 'fifo' },
      { path: 'socket', reason: 'socket' },
    ])
  })

  it('does not take in the store it fills', async () => {
    await using made = await temporaryStore()
    const parent = await mkdtemp(join(made.scratch, 'parent-'))
    await writeFile(join(parent, 'file'), 'x')
    await using inside = await Store.open({ dir: join(parent, 'store') })
    const { root, skipped } = await importDirectory(inside, parent)
    expect(root.files).toBe(1)
    expect(skipped).toEqual([{ path: 'store', reason: 'store' }])
  })

  it('reads a path longer than the system allows in one call', async () => {
    await using made = await temporaryStore()
    const name = 'n'.repeat(200)
    // Each step is a call of its own, as the whole path is too long for one.
    const script = `cd "$1"; for i in $(seq 19); do mkdir ${name}; cd -P ${name}; done; echo deep > f`
    await execa('bash', ['-c', script, 'bash', made.scratch])
    const { hash } = await importDirectory(made.store, made.scratch)
    const path = `${`${name}/`.repeat(19)}f`
    expect(lookup(made.store, hash, path)).toMatchObject({ size: 5 })
    await rm(made.scratch, { recursive: true })
    await mkdir(made.scratch)
  })

  it('fails, with the path, where a file goes on changing while it is read', async () => {
    await using made = await temporaryStore()
    const path = join(made.scratch, 'log')
    await writeFile(path, randomBytes(2_000_000))
    const { store } = made
    const blobSizes = store.blobSizes.bind(store)
    // Between the reading for the hash and the check afterwards, every time.
    store.blobSizes = (hashes) => {
      appendFileSync(path, 'more')
      return blobSizes(hashes)
    }
    await expect(importDirectory(store, made.scratch)).rejects.toMatchObject({ code: 'changed', path: 'log' })
  })

  it('takes a file that changed once as it is after the change', async () => {
    await using made = await temporaryStore()
    const path = join(made.scratch, 'log')
    await writeFile(path, randomBytes(2_000_000))
    const { store } = made
    const blobSizes = store.blobSizes.bind(store)
    let changed = false
    store.blobSizes = (hashes) => {
      if (!changed) appendFileSync(path, 'more')
      changed = true
      return blobSizes(hashes)
    }
    const { root } = await importDirectory(store, made.scratch)
    expect(root.bytes).toBe((await stat(path)).size)
    expect(root.bytes).toBe(2_000_004)
  })

  it('ends with the reason of its signal, and reports how far it is', async () => {
    await using made = await temporaryStore()
    await Promise.all(Array.from({ length: 300 }, (_, index) => writeFile(join(made.scratch, `f${index}`), 'x')))
    const stop = new AbortController()
    const reason = new Error('enough')
    const seen: number[] = []
    const onProgress = ({ entries }: { entries: number }) => {
      seen.push(entries)
      stop.abort(reason)
    }
    await expect(importDirectory(made.store, made.scratch, { signal: stop.signal, onProgress })).rejects.toBe(reason)
    expect(seen).toEqual([128])
  })

  it('of what is not there, or is no folder, fails', async () => {
    await using made = await temporaryStore()
    await writeFile(join(made.scratch, 'file'), 'x')
    for (const name of ['nothing', 'file']) {
      await expect(importDirectory(made.store, join(made.scratch, name))).rejects.toMatchObject({ code: 'io' })
    }
  })
})
