import * as fs from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { startCaller } from '../fixtures/caller/caller.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { startedThreads } from '../fixtures/started-threads.ts'
import { needs } from '../needs.ts'

const { O_CREAT, O_RDWR } = fs.constants
const LOG_BYTES = 64 * 1024
const FILES = 60

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a view whose programs sync each file', () => {
  it('has them all after its thread died twice, and its log was full meanwhile', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView({ unprivileged: true, layer: { syncLogBytes: LOG_BYTES } })
    // Another process: this one starts the thread's heir, and must not wait for it.
    await using caller = await startCaller(mounted.path)
    for (let n = 0; n < FILES; n++) {
      const fd = await caller.open(`f${n}`, O_CREAT | O_RDWR)
      await caller.write(fd, textOf(n))
      await caller.fsync(fd)
      await caller.close(fd)
      if (n % 25 === 24) await threads.last.terminate()
    }
    await caller[Symbol.asyncDispose]()
    await mounted.remount()
    check(mounted.path)
    expect(mounted.log.filter((line) => !line.includes('replaced'))).toEqual([])
  })

  it('has no log where it syncs little, and one of the size that is set where it syncs more', async () => {
    await using mounted = await mountedView({ layer: { syncLogBytes: LOG_BYTES } })
    const log = join(mounted.deltaDir, 'log')
    writeSynced(join(mounted.path, 'f'), 'once')
    await mounted.view.sync()
    expect(fs.existsSync(log)).toBe(false)
    for (let n = 0; n < FILES; n++) writeSynced(join(mounted.path, `f${n}`), textOf(n))
    await mounted.remount()
    expect(fs.statSync(log).size).toBe(LOG_BYTES)
    expect(await mounted.view.usage()).toMatchObject({ inodes: FILES + 1 })
  })
})

function check(directory: string): void {
  for (let n = 0; n < FILES; n++) expect(fs.readFileSync(join(directory, `f${n}`), 'utf8')).toBe(textOf(n))
}

function textOf(n: number): string {
  return `contents of ${n} `.repeat(100)
}

function writeSynced(path: string, text: string): void {
  const fd = fs.openSync(path, 'w')
  fs.writeSync(fd, text)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}
