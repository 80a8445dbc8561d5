import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Hash } from '../../fs-layer/store/objects.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import { ServedView } from '../faults/crash/served-view.ts'
import { needs } from '../needs.ts'

const DIRECTORIES = 1000
const FILES_IN_EACH = 1000
/** The bound that docs/ARCHITECTURE.md states for a process that serves, however many files are looked at. */
const BOUND_BYTES = 640 * 2 ** 20

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a program that looks at every one of very many files', () => {
  it('leaves the kernel with a part of them, and the process that serves within its bound', async () => {
    const dir = fs.mkdtempSync(join(tmpdir(), 'croft-many-'))
    const mount = join(dir, 'mnt')
    fs.mkdirSync(mount)
    try {
      await using server = new ServedView({ mount, base: await makeBase(join(dir, 'store')) })
      await server.tell(dir)
      const before = bytesOf(server.pid)
      const found = execFileSync('find', [mount, '-newermt', '2001-01-01', '-type', 'f', '-printf', 'x'])
      expect(found.length).toBe(DIRECTORIES * FILES_IN_EACH)
      expect(bytesOf(server.pid) - before).toBeLessThan(BOUND_BYTES)
      expect(fuseInodes()).toBeLessThan((DIRECTORIES * FILES_IN_EACH) / 2)
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }, 300_000)
})

async function makeBase(storeDir: string): Promise<Hash> {
  await using store = await Store.open({ dir: storeDir })
  const [blob] = await store.putSmallBlobs([{ data: Buffer.from('the same in every file\n') }])
  if (blob === undefined) throw new Error('the store took no blob')
  const times = { mtime: 1_700_000_000, mtimeNsec: 0 }
  const builder = new TreeBuilder({}, { store })
  for (let d = 0; d < DIRECTORIES; d++) {
    builder.add({ kind: 'directory', path: `d${d}`, mode: 0o755, ...times })
    for (let f = 0; f < FILES_IN_EACH; f++)
      builder.add({ kind: 'file', path: `d${d}/f${f}`, mode: 0o644, ...times, ...blob })
  }
  return (await builder.finish()).hash
}

function bytesOf(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1]) * 1024
}

/** Of the whole machine: other mounts of the tests have few. */
function fuseInodes(): number {
  const line = /^fuse_inode\s+(\d+)/m.exec(fs.readFileSync('/proc/slabinfo', 'latin1'))
  return Number(line?.[1])
}
