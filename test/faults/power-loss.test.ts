import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { Store } from '../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import { needs } from '../needs.ts'
import { Ext4Disk } from './crash/ext4-disk.ts'
import { CrashRig } from './crash/rig.ts'
import { ServedView } from './crash/served-view.ts'
import { crashSeed, crashTimes } from './crash/times.ts'

const DISK_BYTES = 512 << 20

beforeEach((context) => needs(context, 'root', 'fuse', 'loop'))

describe('a server whose machine loses power while several programs work on its view', () => {
  it('has all that was synced, and else an earlier state', async () => {
    const dir = fs.mkdtempSync(join(tmpdir(), 'croft-power-'))
    const mount = join(dir, 'mnt')
    fs.mkdirSync(mount)
    try {
      using disk = Ext4Disk.create(dir, DISK_BYTES)
      await using rig = await CrashRig.create({ seed: crashSeed(), dir: disk.path, mount })
      for (let cut = 0; cut < crashTimes(24); cut++) {
        await rig.round('power', () => {
          disk.cutPower()
          return disk.path
        })
      }
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }, 3_600_000)

  it('has what was written before a sync though its log was another one by then', async () => {
    await onDisk(async ({ mount, base, disk }) => {
      for (let cut = 0; cut < 5; cut++) {
        {
          await using view = new ServedView({ mount, base })
          await view.tell(disk.path)
          // More than a log holds, so that it is full and the sync's own batch begins the next one.
          for (let n = 0; n < 80; n++) fs.writeFileSync(join(mount, `cut${cut}-${n}`), textOf(n))
          await logOf(join(disk.path, 'delta', 'index'), 1_000_000)
          fsync(mount)
        }
        disk.cutPower()
        await using view = new ServedView({ mount, base })
        await view.tell(disk.path)
        for (let n = 0; n < 80; n++) expect(fs.readFileSync(join(mount, `cut${cut}-${n}`), 'utf8')).toBe(textOf(n))
      }
    })
  })

  it('has a large file as it was where the file that took its name is not there yet', async () => {
    await onDisk(async ({ mount, base, disk }) => {
      const [one, other] = [join(mount, 'file'), join(mount, 'new')]
      const texts = ['old', 'new'].map((text) => text.repeat(20_000))
      {
        await using view = new ServedView({ mount, base })
        await view.tell(disk.path)
        for (const [index, path] of [one, other].entries()) {
          fs.writeFileSync(path, texts[index] as string)
          fsync(path)
        }
        const kept = backingFiles(disk.path)
        fs.renameSync(other, one)
        while (backingFiles(disk.path).length === kept.length) await setImmediate()
        // Somebody else's sync writes the journal, and with it what was done to files before.
        sync(disk)
      }
      disk.cutPower()
      await using view = new ServedView({ mount, base })
      await view.tell(disk.path)
      expect(texts).toContain(fs.readFileSync(one, 'utf8'))
    })
  })

  it('has a file of the base that grew out of the index, as it was or as it became', async () => {
    await onDisk(async ({ mount, base, disk }) => {
      const path = join(mount, 'base')
      {
        await using view = new ServedView({ mount, base })
        await view.tell(disk.path)
        const fd = fs.openSync(path, 'r+')
        fs.writeSync(fd, 'new', 0)
        fs.writeSync(fd, 'more', BASE_TEXT.length)
        fs.closeSync(fd)
        const index = join(disk.path, 'delta', 'index')
        await logOf(index, 100)
        // Of all that is not synced yet the kernel may write any part first.
        for (const name of fs.readdirSync(index)) fsync(join(index, name))
      }
      disk.cutPower()
      await using view = new ServedView({ mount, base })
      await view.tell(disk.path)
      expect(fs.readFileSync(path, 'utf8').slice(3, BASE_TEXT.length)).toBe(BASE_TEXT.slice(3))
    })
  })
})

// Whole blocks: of a part of one ext4 takes care itself.
const BASE_TEXT = 'text of the base'.repeat(1024)

async function onDisk(run: (place: { mount: string; base: string; disk: Ext4Disk }) => Promise<void>): Promise<void> {
  const dir = fs.mkdtempSync(join(tmpdir(), 'croft-power-'))
  const mount = join(dir, 'mnt')
  fs.mkdirSync(mount)
  try {
    using disk = Ext4Disk.create(dir, DISK_BYTES)
    await run({ mount, disk, base: await smallBase(disk.path) })
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}

/** Inline, but large. */
function textOf(n: number): string {
  return `${n} `.padStart(5).repeat(3000)
}

function backingFiles(dir: string): string[] {
  const all = fs.readdirSync(join(dir, 'delta', 'files'), { recursive: true, withFileTypes: true })
  return all.filter((each) => each.isFile()).map(({ name }) => name)
}

async function smallBase(dir: string): Promise<string> {
  await using store = await Store.open({ dir: join(dir, 'store') })
  const builder = new TreeBuilder({}, { store })
  const blob = await store.putBlob({}, [Buffer.from(BASE_TEXT)])
  builder.add({ kind: 'file', path: 'base', mode: 0o644, mtime: 0, mtimeNsec: 0, ...blob })
  return (await builder.finish()).hash
}

/** Resolves when one of a database's logs has so many bytes. */
async function logOf(index: string, bytes: number): Promise<void> {
  while (!sizesOfLogs(index).some((size) => size >= bytes)) await setImmediate()
}

function sizesOfLogs(index: string): number[] {
  if (!fs.existsSync(index)) return []
  const logs = fs.readdirSync(index).filter((name) => name.endsWith('.log'))
  return logs.map((name) => fs.statSync(join(index, name)).size)
}

/** Writes the journal of a disk, but no more than that and one new file. */
function sync({ path }: Ext4Disk): void {
  fs.writeFileSync(join(path, 'other'), 'x')
  fsync(join(path, 'other'))
}

function fsync(path: string): void {
  const fd = fs.openSync(path, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}
