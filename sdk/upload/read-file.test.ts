import { createHash } from 'node:crypto'
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FileChanged, hashFile, readFile } from './read-file.ts'
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

test.each([[0], [1], [256 * 1024], [256 * 1024 + 1], [1_000_000]])('%i bytes have the hash of their contents', async (size) => {
  const content = Buffer.alloc(size, 'croft')
  const file = await found(content)
  expect(await hashFile(root, file)).toEqual(createHash('sha256').update(content).digest())
})

test.each<[string, () => void]>([
  ['has grown', () => appendFileSync(join(root, 'file'), 'more')],
  ['has shrunk', () => writeFileSync(join(root, 'file'), 'x')],
  ['has new contents of the same size and an old mtime', () => {
    writeFileSync(join(root, 'file'), 'OTHERS')
    utimesSync(join(root, 'file'), 1, 1)
  }],
  ['was replaced by another', () => {
    writeFileSync(join(root, 'new'), 'before')
    renameSync(join(root, 'new'), join(root, 'file'))
  }],
  ['was replaced by a symlink', () => {
    rmSync(join(root, 'file'))
    symlinkSync('/etc/passwd', join(root, 'file'))
  }],
  ['was replaced by a directory', () => {
    rmSync(join(root, 'file'))
    mkdirSync(join(root, 'file'))
  }],
  ['is gone', () => rmSync(join(root, 'file'))],
])('a file that %s since it was found is told as changed', async (_how, change) => {
  const file = await found('before')
  change()
  await expect(hashFile(root, file)).rejects.toBeInstanceOf(FileChanged)
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
