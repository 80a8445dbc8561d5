import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { ServerProcess } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'
import { Ext4Disk } from './crash/ext4-disk.ts'
import { ServedView } from './crash/served-view.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'loop')
  dir = fs.mkdtempSync(join(tmpdir(), 'croft-read-only-'))
})

afterEach(() => {
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true })
})

it('a disk that becomes read-only is read on, writing is EROFS, and the log says so once', async () => {
  using disk = Ext4Disk.create(dir, 128 << 20)
  const mount = join(dir, 'mnt')
  const folder = join(dir, 'folder')
  fs.mkdirSync(mount)
  fs.mkdirSync(folder)
  fs.writeFileSync(join(folder, 'large'), 'x'.repeat(100_000))
  fs.writeFileSync(join(folder, 'small'), 'small')
  // With a quota of bytes the kernel hands each write on at once.
  await using view = new ServedView({ mount, base: await imported(disk.path, folder), quotaBytes: 2 ** 40 })
  await view.tell(disk.path)
  const [synced, syncedLarge] = [join(mount, 'synced'), join(mount, 'synced-large')]
  fs.writeFileSync(synced, 'kept')
  fs.writeFileSync(syncedLarge, 'y'.repeat(50_000))
  for (const path of [synced, syncedLarge]) fsync(path)
  // As the kernel does it when the disk has failed (ext4(5), `errors=remount-ro`).
  execFileSync('mount', ['-o', 'remount,abort', disk.path])

  expect(errorCode(() => fs.appendFileSync(syncedLarge, 'more'))).toBe('EROFS')
  expect(errorCode(() => fs.appendFileSync(join(mount, 'large'), 'more'))).toBe('EROFS')
  fs.writeFileSync(join(mount, 'new'), 'new')
  expect(errorCode(() => fsync(mount))).toBe('EROFS')
  for (const change of [
    () => fs.writeFileSync(join(mount, 'another'), 'another'),
    () => fs.mkdirSync(join(mount, 'directory')),
    () => fs.renameSync(synced, `${synced}-away`),
    () => fs.chmodSync(synced, 0o600),
    () => fs.rmSync(join(mount, 'small')),
  ])
    expect(errorCode(change)).toBe('EROFS')
  expect(fs.readFileSync(synced, 'utf8')).toBe('kept')
  expect(fs.readFileSync(syncedLarge, 'utf8')).toBe('y'.repeat(50_000))
  expect(fs.readFileSync(join(mount, 'large'), 'utf8')).toBe('x'.repeat(100_000))
  expect(fs.readFileSync(join(mount, 'small'), 'utf8')).toBe('small')
  await view.kill()
  expect(view.log.match(/could not be written to disk.*EROFS/g)).toHaveLength(1)
})

it('a store on a disk that is read-only from the start says so', async () => {
  using disk = Ext4Disk.create(dir, 256 << 20)
  {
    await using store = await Store.open({ dir: join(disk.path, 'store') })
    await store.putBlob({}, [Buffer.from('kept')])
  }
  execFileSync('mount', ['-o', 'remount,ro', disk.path])
  await expect(Store.open({ dir: join(disk.path, 'store') })).rejects.toMatchObject({ code: 'read-only' })
})

it('a server whose data directory is read-only does not start, and says why', async () => {
  using disk = Ext4Disk.create(dir, 256 << 20)
  execFileSync('mount', ['-o', 'remount,ro', disk.path])
  const started = ServerProcess.start(disk.path)
  await expect(started).rejects.toThrow(/cannot use the data directory .*read-only/i)
})

async function imported(dir: string, folder: string): Promise<string> {
  await using store = await Store.open({ dir: join(dir, 'store') })
  return (await importDirectory(store, folder)).hash
}

function fsync(path: string): void {
  const fd = fs.openSync(path, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
