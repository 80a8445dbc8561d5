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
      for (let cut = 0; cut < crashTimes(40); cut++) {
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
    const dir = fs.mkdtempSync(join(tmpdir(), 'croft-power-'))
    const mount = join(dir, 'mnt')
    fs.mkdirSync(mount)
    try {
      using disk = Ext4Disk.create(dir, DISK_BYTES)
      const base = await emptyBase(disk.path)
      for (let cut = 0; cut < crashTimes(5); cut++) {
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
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  })
})

/** Inline, but large. */
function textOf(n: number): string {
  return `${n} `.padStart(5).repeat(3000)
}

async function emptyBase(dir: string): Promise<string> {
  await using store = await Store.open({ dir: join(dir, 'store') })
  return (await new TreeBuilder({}, { store }).finish()).hash
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

function fsync(path: string): void {
  const fd = fs.openSync(path, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}
