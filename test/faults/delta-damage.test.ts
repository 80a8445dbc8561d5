import * as fs from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import koffi from 'koffi'
import { beforeEach, describe, expect, it } from 'vitest'
import { errorCode } from '../fixtures/error-code.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

const FILES = 12

beforeEach((context) => needs(context, 'root', 'fuse'))

/** What is lost of the index is not in a log of syncs either. */
const INDEX_ALONE = { layer: { syncLogBytes: 0 } }

describe('a log of the index of a delta', () => {
  it('that ends too early has all that came before', async () => {
    await using mounted = await mountedView(INDEX_ALONE)
    const sizes: number[] = []
    for (let n = 0; n < FILES; n++) {
      writeSynced(join(mounted.path, `f${n}`), textOf(n))
      sizes.push(fs.statSync(newestLog(mounted)).size)
    }
    const path = newestLog(mounted)
    // Within the header of what came next: not the end of the tenth file's, which may be in several batches.
    await mounted.remount(() => fs.truncateSync(path, (sizes[8] as number) + 5))
    expect(fs.readdirSync(mounted.path).sort()).toEqual(names(9))
    for (let n = 0; n < 9; n++) expect(fs.readFileSync(join(mounted.path, `f${n}`), 'utf8')).toBe(textOf(n))
    expect(mounted.log).toEqual([])
  })

  it('that lacks what nobody was told is durable ends there, and the log of the server says so', async () => {
    await using mounted = await mountedView(INDEX_ALONE)
    writeSynced(join(mounted.path, 'f0'), textOf(0))
    const sizes = [fs.statSync(newestLog(mounted)).size]
    for (let n = 1; n < FILES; n++) {
      fs.writeFileSync(join(mounted.path, `f${n}`), textOf(n))
      // Its name and its contents; a batch may also be of what was left of the file before.
      while (![`f${n}`, textOf(n).slice(0, 100)].every((part) => fs.readFileSync(newestLog(mounted)).includes(part))) {
        await setImmediate()
      }
      sizes.push(fs.statSync(newestLog(mounted)).size)
    }
    const copy = fs.readFileSync(newestLog(mounted))
    const path = newestLog(mounted)
    await mounted.remount(() => {
      // As after a loss of power: not closed in good order, and a part in the middle never written.
      fs.writeFileSync(path, copy.fill(0, sizes[2] as number, (sizes[2] as number) + 3000))
    })
    expect(fs.readdirSync(mounted.path).sort()).toEqual(names(3))
    expect(mounted.log).toHaveLength(1)
    expect(mounted.log[0]).toMatch(/not durable are lost after a crash .*"batches":/)
    writeSynced(join(mounted.path, 'f3'), 'again')
    await mounted.remount()
    expect(fs.readFileSync(join(mounted.path, 'f3'), 'utf8')).toBe('again')
  })

  it('that lacks what was durable is left alone, and the sandbox does not start', async () => {
    await using mounted = await mountedView(INDEX_ALONE)
    let middle = 0
    for (let n = 0; n < FILES; n++) {
      writeSynced(join(mounted.path, `f${n}`), textOf(n))
      if (n === 5) middle = fs.statSync(newestLog(mounted)).size
    }
    const path = newestLog(mounted)
    const damaged = mounted.remount(() => flip(path, middle + 100))
    await expect(damaged).rejects.toMatchObject({ name: 'EIO' })
    expect(mounted.log.join()).toContain(path)
    expect(mounted.log.join()).toMatch(/changes that were durable are lost.*Restore/)
    await mounted.remount(() => flip(path, middle + 100))
    expect(fs.readdirSync(mounted.path).sort()).toEqual(names(FILES))
  })
})

describe('a delta does not open, and its log line says which file, where', () => {
  it.each([
    ['the manifest is damaged', (index: string) => flip(join(index, find(index, 'MANIFEST-')), 10)],
    ['CURRENT is gone', (index: string) => fs.renameSync(join(index, 'CURRENT'), join(index, 'lost'))],
    ['a table is gone', (index: string) => fs.renameSync(join(index, find(index, '.ldb')), join(index, 'lost'))],
    ['a table is damaged', (index: string) => flip(join(index, find(index, '.ldb')), 200)],
    ['the end of a table is damaged', (index: string) => fs.truncateSync(join(index, find(index, '.ldb')), 300)],
  ])('%s', async (_, damage) => {
    await using mounted = await mountedView()
    for (let n = 0; n < FILES; n++) writeSynced(join(mounted.path, `f${n}`), textOf(n))
    // The log becomes a table when it is opened again.
    await mounted.remount()
    const index = join(mounted.deltaDir, 'index')
    await expect(mounted.remount(() => damage(index))).rejects.toMatchObject({ name: 'EIO' })
    expect(mounted.log).toHaveLength(1)
    expect(mounted.log[0]).toMatch(/cannot be opened .*Restore the directory/)
    expect(mounted.log[0]).toContain(index)
  })
})

describe('a large file of a delta', () => {
  it('that somebody cuts is EIO beyond that, not zeros', async () => {
    await using mounted = await mountedView()
    const path = join(mounted.path, 'large')
    writeSynced(path, 'x'.repeat(200_000))
    const files = join(mounted.deltaDir, 'files')
    const [stored] = fs.readdirSync(files, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
    fs.truncateSync(join(stored?.parentPath ?? '', stored?.name ?? ''), 1000)
    dropPages(path)
    expect(errorCode(() => fs.readFileSync(path))).toBe('EIO')
    // Behind the line on its way here.
    await mounted.view.usage()
    expect(mounted.log.join()).toContain('ends at byte 1000')
  })
})

function textOf(n: number): string {
  return `contents of ${n} `.repeat(700)
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `f${n}`).sort()
}

function writeSynced(path: string, text: string): void {
  const fd = fs.openSync(path, 'w')
  fs.writeSync(fd, text)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

function find(index: string, part: string): string {
  return fs.readdirSync(index).find((name) => name.includes(part)) as string
}

function newestLog({ deltaDir }: MountedView): string {
  const index = join(deltaDir, 'index')
  const logs = fs.readdirSync(index).filter((name) => name.endsWith('.log'))
  return join(index, logs.sort().at(-1) as string)
}

/** Another bit there; twice is as before. */
function flip(path: string, offset: number): void {
  const bytes = fs.readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x10, offset)
  fs.writeFileSync(path, bytes)
}

/** The kernel forgets the pages of one file. */
function dropPages(path: string): void {
  const fd = fs.openSync(path, 'r')
  const advice = koffi.load(null).func('posix_fadvise', 'int', ['int', 'int64', 'int64', 'int'])
  advice(fd, 0, 0, 4)
  fs.closeSync(fd)
}
