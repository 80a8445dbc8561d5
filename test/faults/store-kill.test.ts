import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { list } from '../../fs-layer/store/lookup.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { collect } from '../fixtures/collect.ts'

const WRITER = fileURLToPath(new URL('../../dist/test/faults/store-writer.js', import.meta.url))
const KILLS = 20

describe('a store whose process is killed', () => {
  it('has every blob and version that was acknowledged, whole, after each of 20 kills', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'croft-kill-'))
    const acknowledged = { blob: [] as string[], root: [] as string[] }
    for (let kill = 1; kill <= KILLS; kill++) {
      await killAfterLines(dir, 1 + ((kill * 37) % 60), acknowledged)
      await using store = await Store.open({ dir })
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
      for (const hash of acknowledged.blob) await store.verifyBlob(hash)
      for (const root of acknowledged.root) {
        const files = await collect(list(store, root, '', true))
        expect(files).toHaveLength(20)
        for (const { entry } of files) if (entry.kind === 'file') await store.verifyBlob(entry.hash)
      }
      for await (const { hash } of store.roots()) expect(store.rootSync(hash).files).toBe(20)
    }
    expect(acknowledged.blob.length).toBeGreaterThan(KILLS)
    expect(acknowledged.root.length).toBeGreaterThan(KILLS / 2)
    await rm(dir, { recursive: true })
  }, 120_000)
})

/** Kills the writer when it has said so many lines, while it works on the next thing. */
async function killAfterLines(dir: string, lines: number, heard: { blob: string[]; root: string[] }): Promise<void> {
  const writer = execa(process.execPath, [WRITER, dir], { reject: false, lines: true })
  let said = 0
  for await (const line of writer.iterable()) {
    const [kind, hash] = line.split(' ') as ['blob' | 'root', string]
    heard[kind].push(hash)
    if (++said === lines) writer.kill('SIGKILL')
  }
  const { signal, stderr } = await writer
  expect(signal, stderr.join('\n')).toBe('SIGKILL')
}
