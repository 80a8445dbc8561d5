import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { DISK_RESERVE_BYTES } from '../../fs-layer/delta/limits.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a delta on a disk that is full', () => {
  it('refuses writes with ENOSPC, loses nothing that was synced, and goes on when there is room', async () => {
    const disk = fs.mkdtempSync(join(tmpdir(), 'croft-full-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_RESERVE_BYTES + (100 << 20)}`, 'croft-test', disk])
    try {
      await using mounted = await mountedView({ in: disk })
      const synced = join(mounted.path, 'synced')
      writeSynced(synced, 'kept')
      expect(errorCode(() => writeSynced(join(mounted.path, 'large'), 'x'.repeat(120 << 20)))).toBe('ENOSPC')
      expect(errorCode(() => fill(mounted.path))).toBe('ENOSPC')
      expect(fs.readFileSync(synced, 'utf8')).toBe('kept')
      // What is free is the reserve, or a file's worth less.
      const { bavail, bsize } = fs.statfsSync(disk)
      expect(bavail * bsize).toBeGreaterThan(DISK_RESERVE_BYTES - (2 << 20))
      fs.rmSync(join(mounted.path, 'large'))
      execFileSync('mount', ['-o', `remount,size=${DISK_RESERVE_BYTES + (220 << 20)}`, disk])
      writeSynced(join(mounted.path, 'after'), 'room again')
      await mounted.remount()
      expect(fs.readFileSync(synced, 'utf8')).toBe('kept')
      expect(fs.readFileSync(join(mounted.path, 'after'), 'utf8')).toBe('room again')
    } finally {
      execFileSync('umount', [disk])
      fs.rmdirSync(disk)
    }
  })
})

function fill(directory: string): void {
  for (let n = 0; n < 10_000; n++) writeSynced(join(directory, `small${n}`), 'y'.repeat(15_000))
}

function writeSynced(path: string, text: string): void {
  const fd = fs.openSync(path, 'w')
  try {
    fs.writeSync(fd, text)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
