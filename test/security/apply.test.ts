import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyChanges } from '../../sdk/apply/apply.ts'
import { LocalTree } from '../../sdk/apply/local-tree.ts'
import type { Change, DetailedChange } from '../../sdk/changes.ts'

let scratch: string
let folder: string
let outside: string

beforeEach(() => {
  scratch = fs.mkdtempSync(join(tmpdir(), 'croft-apply-'))
  folder = join(scratch, 'folder')
  outside = join(scratch, 'outside')
  for (const dir of [folder, outside]) fs.mkdirSync(dir)
  fs.writeFileSync(join(outside, 'file'), 'outside\n')
})

afterEach(() => fs.rmSync(scratch, { recursive: true }))

/** Of nothing that is there. */
const EVIL = '0'.repeat(64)

async function* evil() {
  yield Buffer.from('evil\n')
}

function change(kind: Change['kind'], path: string, details: Partial<Change & DetailedChange> = {}): DetailedChange {
  const { sha256, oldSha256, symlinkTarget, oldSymlinkTarget, ...more } = details
  const rawPath = Buffer.from(path)
  return {
    change: { kind, path, rawPath, type: 'file', sizeBytes: 5, mode: 0o644, ...more },
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(oldSha256 === undefined ? {} : { oldSha256 }),
    ...(symlinkTarget === undefined ? {} : { symlinkTarget }),
    ...(oldSymlinkTarget === undefined ? {} : { oldSymlinkTarget }),
  }
}

function unharmed(): void {
  expect(fs.readdirSync(outside)).toEqual(['file'])
  expect(fs.readFileSync(join(outside, 'file'), 'utf8')).toBe('outside\n')
  expect(fs.readdirSync(scratch).sort()).toEqual(['folder', 'outside'])
}

describe('changes that are applied', () => {
  for (const onConflict of ['refuse', 'skip', 'overwrite'] as const) {
    test(`go through no link in the folder (${onConflict})`, async () => {
      fs.symlinkSync(outside, join(folder, 'dir'))
      const changes = [
        change('created', 'dir/new', { sha256: EVIL }),
        change('deleted', 'dir/file', { oldSha256: EVIL }),
      ]
      const result = await applyChanges(folder, changes, evil, { onConflict }).catch((error: unknown) => error)
      expect(result).toMatchObject({ conflicts: [{ reason: 'blocked' }, { reason: 'blocked' }] })
      unharmed()
    })

    test(`go through no link that they bring themselves (${onConflict})`, async () => {
      const target = Buffer.from(outside)
      const changes = [
        change('created', 'dir', { type: 'symlink', symlinkTarget: target }),
        change('created', 'dir/new', { sha256: EVIL }),
      ]
      await expect(applyChanges(folder, changes, evil, { onConflict })).rejects.toMatchObject({ code: 'local_file' })
      unharmed()
    })
  }

  test('replace a link, and not what it leads to', async () => {
    fs.symlinkSync(join(outside, 'file'), join(folder, 'link'))
    const oldSymlinkTarget = Buffer.from(join(outside, 'file'))
    const sha256 = createHash('sha256').update('evil\n').digest('hex')
    await applyChanges(folder, [change('type', 'link', { oldType: 'symlink', oldSymlinkTarget, sha256 })], evil, {})
    expect(fs.lstatSync(join(folder, 'link')).isFile()).toBe(true)
    unharmed()
  })

  test.each(['../outside/new', '/outside/new', 'a/../../outside/new', './x', 'a//b', '..', 'a\0b'])(
    'are refused where a path is %j',
    async (path) => {
      const changes = [change('created', path, { sha256: EVIL })]
      await expect(applyChanges(folder, changes, evil, { onConflict: 'overwrite' })).rejects.toThrow()
      unharmed()
      expect(fs.readdirSync(folder)).toEqual([])
    },
  )

  test('give no set-user-id bit, and no file whose contents are not those announced', async () => {
    const tree = new LocalTree(folder)
    await tree.writeFile('program', evil(), 0o6755)
    expect(fs.statSync(join(folder, 'program')).mode & 0o7777).toBe(0o755)
    const changes = [change('created', 'other', { sha256: EVIL })]
    await expect(applyChanges(folder, changes, evil, {})).rejects.toMatchObject({ code: 'internal' })
    expect(fs.readdirSync(folder)).toEqual(['program'])
  })

  test('wait for no FIFO, and read none', async () => {
    execFileSync('mkfifo', [join(folder, 'fifo')])
    const changes = [change('modified', 'fifo', { oldSha256: EVIL, sha256: EVIL })]
    await expect(applyChanges(folder, changes, evil, {})).rejects.toMatchObject({ conflicts: [{ reason: 'changed' }] })
  })
})
