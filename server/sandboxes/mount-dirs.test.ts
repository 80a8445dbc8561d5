import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { MountDirs, mountPoints } from './mount-dirs.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-mounts-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true })
})

const gid = process.getgid?.() ?? 0

it('a sandbox has a directory that only its own group can walk through, and nobody can list the others', () => {
  const { view, scratch } = MountDirs.open(join(dir, 'views')).make('sb_1', gid)
  const mode = (path: string) => statSync(path).mode & 0o777
  expect(mode(join(dir, 'views'))).toBe(0o711)
  expect(mode(join(dir, 'views', 'sb_1'))).toBe(0o710)
  expect(mode(view)).toBe(0o700)
  expect(mode(scratch)).toBe(0o710)
})

it('removing it takes the scratch files along', () => {
  const dirs = MountDirs.open(dir)
  const { scratch } = dirs.make('sb_1', gid)
  writeFileSync(join(scratch, 'socket'), '')
  dirs.remove('sb_1')
  expect(existsSync(join(dir, 'sb_1'))).toBe(false)
  expect(() => dirs.remove('sb_1')).not.toThrow()
})

it('what stands in a view is never removed', () => {
  const dirs = MountDirs.open(dir)
  const { view } = dirs.make('sb_1', gid)
  writeFileSync(join(view, 'precious'), '')
  expect(() => dirs.remove('sb_1')).toThrow(/ENOTEMPTY/)
  expect(existsSync(join(view, 'precious'))).toBe(true)
  chmodSync(view, 0o700)
})

it('leftover directories go where nothing is mounted', async () => {
  const dirs = MountDirs.open(dir)
  dirs.make('sb_1', gid)
  await expect(dirs.detachLeftovers()).resolves.toBe(0)
  expect(existsSync(join(dir, 'sb_1'))).toBe(false)
})

it('mount points are read with their escapes', () => {
  const text = '36 35 0:1 / /run/a\\040b rw - tmpfs tmpfs rw\n37 35 0:2 / /caf\\303\\251 rw - tmpfs tmpfs rw\n'
  expect(mountPoints(text)).toEqual(['/run/a b', '/café'])
})
