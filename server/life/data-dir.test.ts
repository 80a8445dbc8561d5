import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openDataDir } from './data-dir.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-data-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true })
})

it('a second server is refused, and told the pid of the first', async () => {
  const first = await openDataDir(dir, 'one')
  await expect(openDataDir(dir, 'two')).rejects.toThrow(`in use by the server with pid ${process.pid}`)
  await first.records[Symbol.asyncDispose]()
})

it('the next server learns of one that did not clean up, and only of that', async () => {
  const first = await openDataDir(dir, 'one')
  await first.records[Symbol.asyncDispose]()
  const second = await openDataDir(dir, 'two')
  expect(second.previousInstances).toEqual(['one'])
  second.markClean()
  await second.records[Symbol.asyncDispose]()
  const third = await openDataDir(dir, 'three')
  expect(third.previousInstances).toEqual([])
  await third.records[Symbol.asyncDispose]()
})

it('a server that dies before it has cleaned up after another hands that one on', async () => {
  for (const instance of ['one', 'two']) {
    const { records } = await openDataDir(dir, instance)
    await records[Symbol.asyncDispose]()
  }
  const third = await openDataDir(dir, 'three')
  expect(third.previousInstances).toEqual(['one', 'two'])
  third.markRecovered()
  await third.records[Symbol.asyncDispose]()
  const fourth = await openDataDir(dir, 'four')
  expect(fourth.previousInstances).toEqual(['three'])
  await fourth.records[Symbol.asyncDispose]()
})

it('a torn note of the last server stops nobody', async () => {
  writeFileSync(join(dir, 'server.json'), '{"pid": 1')
  const { records, previousInstances } = await openDataDir(dir, 'one')
  expect(previousInstances).toEqual([])
  const note = JSON.parse(readFileSync(join(dir, 'server.json'), 'utf8'))
  expect(note).toEqual({ pid: process.pid, unclean: ['one'] })
  await records[Symbol.asyncDispose]()
})

it('nobody else may look into it', async () => {
  const { records } = await openDataDir(join(dir, 'new'), 'one')
  expect(statSync(join(dir, 'new')).mode & 0o777).toBe(0o700)
  await records[Symbol.asyncDispose]()
})

it('a file in its place is named', async () => {
  writeFileSync(join(dir, 'file'), '')
  await expect(openDataDir(join(dir, 'file'), 'one')).rejects.toThrow(join(dir, 'file'))
})
