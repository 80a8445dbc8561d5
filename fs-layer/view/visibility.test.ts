import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { OpenFiles } from '../delta/open-files.ts'
import { compilePolicy } from '../policy/policy.ts'
import type { Rule } from '../policy/rule.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import { importDirectory } from '../store/import.ts'
import { Store } from '../store/store.ts'
import { OpenView } from './open-view.ts'

const OWNER = { uid: 0, gid: 0, pid: 0 }
const WRITE_ALL: Rule = { pattern: '**', type: 'glob', level: 'write' }

let dir: string
let store: Store
let files: OpenFiles

beforeEach(async () => {
  dir = fs.mkdtempSync(join(tmpdir(), 'croft-visibility-'))
  fs.mkdirSync(join(dir, 'base'))
  store = await Store.open({ dir: join(dir, 'store') })
  files = new OpenFiles({ maxFiles: 16 })
})

afterEach(async () => {
  files[Symbol.dispose]()
  await store[Symbol.asyncDispose]()
  fs.rmSync(dir, { recursive: true })
})

describe('the links that a directory shows', () => {
  it('are counted once, however many directories come and go in it', async () => {
    await using open = await openView([WRITE_ALL, { pattern: 'hidden*/**', type: 'glob', level: 'none', priority: 1 }])
    const view = open.view('sandbox')
    const links = () => view.getattr(OWNER, ROOT_NODE).nlink
    expect(links()).toBe(2)
    const list = vi.spyOn(open.overlay, 'list')
    for (let index = 0; index < 100; index++) {
      view.mkdir(OWNER, ROOT_NODE, `d${index}`, 0o755)
      expect(links()).toBe(3 + index)
    }
    expect(list.mock.calls.filter(([directory]) => directory === open.overlay.root)).toEqual([])
    open.access('owner').mkdir('hidden', 0o755)
    view.rmdir(OWNER, ROOT_NODE, 'd0')
    view.rename(OWNER, ROOT_NODE, 'd1', ROOT_NODE, 'd2', 0)
    view.rename(OWNER, ROOT_NODE, 'd3', ROOT_NODE, 'e', 0)
    expect(links()).toBe(2 + 98)
  })

  it('follow what shows only by what is deep in it', async () => {
    await using open = await openView([WRITE_ALL, { pattern: 'a/**', type: 'glob', level: 'none', priority: 1 }, SEEN])
    const view = open.view('sandbox')
    const links = () => view.getattr(OWNER, ROOT_NODE).nlink
    const owner = open.access('owner')
    owner.mkdir('a/b/c', 0o755)
    expect(links()).toBe(2)
    owner.mkdir('a/b/seen', 0o755)
    expect(links()).toBe(3)
    owner.remove('a/b/seen', false)
    expect(links()).toBe(2)
  })
})

const SEEN: Rule = { pattern: 'a/b/seen', type: 'glob', level: 'read', priority: 2 }

async function openView(rules: readonly Rule[]): Promise<OpenView> {
  const { hash: base } = await importDirectory(store, join(dir, 'base'))
  const statfs = () => ({ blockSize: 4096, blocks: 9, blocksFree: 9, files: 9, filesFree: 9, nameMax: 255 })
  return await OpenView.open(
    {
      name: 'links',
      base,
      statfs,
      quota: {},
      deltaDir: join(dir, 'delta'),
      owner: OWNER,
      policy: compilePolicy(rules),
    },
    { store, files, log: () => undefined },
  )
}
