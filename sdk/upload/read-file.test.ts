import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FileChanged, hashFile, readFile, SMALL_FILE_BYTES } from './read-file.ts'
import { type LocalFile, walk } from './walk.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'croft-read-'))
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

async function found(content: string | Buffer): Promise<LocalFile> {
  writeFileSync(join(root, 'file'), content)
  const file = (await walk(root)).find((entry) => entry.kind === 'file')
  if (file === undefined) throw new Error('the file was not found')
  return file
}

test.each([[0], [1], [64 * 1024], [64 * 1024 + 1], [256 * 1024 + 1], [1_000_000]])(
  '%i bytes have the hash of their contents',
  async (size) => {
    const content = Buffer.alloc(size, 'croft')
    const file = await found(content)
    expect(await hashFile(root, file)).toEqual(createHash('sha256').update(content).digest())
  },
)

describe.each([
  ['a small file', 6],
  ['an empty file', 0],
  ['a large file', SMALL_FILE_BYTES + 1],
])('%s', (_kind, size) => {
  const path = () => join(root, 'file')

  test.each<[string, () => void]>([
    ['has grown', () => appendFileSync(path(), 'more')],
    ['has another size', () => writeFileSync(path(), 'x')],
    ['has new contents of the same size and an old mtime', rewrite],
    ['was replaced by another', replace],
    ['was replaced by a symlink', () => swap(() => symlinkSync('/etc/passwd', path()))],
    ['was replaced by a directory', () => swap(() => mkdirSync(path()))],
    ['was replaced by a FIFO', () => swap(() => execFileSync('mkfifo', [path()]))],
    ['is gone', () => rmSync(path())],
  ])('that %s since it was found is told as changed', async (_how, change) => {
    const file = await found(Buffer.alloc(size, 'b'))
    change()
    await expect(hashFile(root, file)).rejects.toBeInstanceOf(FileChanged)
  })

  function rewrite(): void {
    writeFileSync(path(), Buffer.alloc(size, 'o'))
    utimesSync(path(), 1, 1)
  }

  function replace(): void {
    writeFileSync(join(root, 'new'), Buffer.alloc(size, 'b'))
    renameSync(join(root, 'new'), path())
  }

  function swap(make: () => void): void {
    rmSync(path())
    make()
  }
})

test('a file that is written to while it is read is told as changed', async () => {
  const file = await found(Buffer.alloc(600_000))
  const read = async () => {
    for await (const chunk of readFile(root, file)) {
      expect(chunk.length).toBeGreaterThan(0)
      appendFileSync(join(root, 'file'), 'x')
    }
  }
  await expect(read()).rejects.toBeInstanceOf(FileChanged)
})
