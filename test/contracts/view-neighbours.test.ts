import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { openFsLayer } from '../../fs-layer/index.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { startCaller } from '../fixtures/caller/caller.ts'
import { needs } from '../needs.ts'

const O_RDWR = 2
const TEN_GIB_IN_MIB = 10 * 1024
/** Requests of the busy one that may be answered while one of the quiet one waits; it makes two. */
const FAIR = 8

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a view beside one that is being written 10 GiB', () => {
  it('has its turn after a few of the other’s requests, and holds the other up no more', async () => {
    const dir = fs.mkdtempSync(join(tmpdir(), 'croft-neighbours-'))
    try {
      for (const name of ['empty', 'quiet', 'busy']) fs.mkdirSync(join(dir, name))
      fs.writeFileSync(join(dir, 'count'), Buffer.alloc(4096))
      await using store = await Store.open({ dir: join(dir, 'store') })
      const { hash } = await importDirectory(store, join(dir, 'empty'))
      await using layer = await openFsLayer({ storeDir: join(dir, 'store') })
      for (const id of ['quiet', 'busy']) {
        const rules = [{ pattern: '**', type: 'glob', level: 'write' }] as const
        const owner = { uid: 0, gid: 0 }
        const view = await layer.openView({ id, base: hash, deltaDir: join(dir, `delta-${id}`), rules, owner })
        await view.mount(join(dir, id))
      }
      await using quiet = await startCaller(join(dir, 'quiet'))
      await using busy = await startCaller(join(dir, 'busy'))
      const counted = await Promise.all(
        [quiet, busy].map(async (caller) => caller.mapKeep(await caller.open(join(dir, 'count'), O_RDWR))),
      )
      const [here = 0, there = 0] = counted

      const copying = busy.copyMuch('copy', there, TEN_GIB_IN_MIB)
      await expect.poll(() => fs.readFileSync(join(dir, 'count')).readUInt32LE(0)).toBeGreaterThan(64)
      const between = await quiet.askBeside('asked', here, 200)
      await quiet.setWord(here, 1, 1)
      await copying

      between.sort((one, other) => one - other)
      // Half of them: whoever is not on a processor asks nothing, and what goes on meanwhile is not the view's.
      expect(between[100]).toBeLessThanOrEqual(2 * FAIR)
      expect(between.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0)
      for (const caller of [quiet, busy]) await caller.chdir('/')
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }, 120_000)
})
