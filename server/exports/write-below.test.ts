import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeBelow } from './write-below.ts'

let dir: string
let root: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-below-'))
  root = join(dir, 'root')
  mkdirSync(root)
  mkdirSync(join(dir, 'outside'))
})

afterEach(() => rmSync(dir, { recursive: true }))

async function* chunks(...texts: readonly string[]) {
  for (const text of texts) yield Buffer.from(text)
}

const options = { temporaryName: '.part', overwrite: false }
const write = (path: string, text: string, more: Partial<typeof options> = {}) =>
  writeBelow({ root, names: path.split('/') }, chunks(text), { ...options, ...more })

test('a file is there with its sum, in directories that were made for it', async () => {
  const { size } = await write('a/b/file', 'contents')
  expect(size).toBe(8)
  expect(readFileSync(join(root, 'a/b/file'), 'utf8')).toBe('contents')
  execFileSync('sha256sum', ['--status', '-c', 'file.sha256'], { cwd: join(root, 'a/b') })
  expect(readdirSync(join(root, 'a/b')).sort()).toEqual(['file', 'file.sha256'])
})

test('another file is not replaced unless that is asked for, the same one is', async () => {
  await write('file', 'old')
  await write('file', 'old')
  await expect(write('file', 'new')).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  expect(readFileSync(join(root, 'file'), 'utf8')).toBe('old')
  await write('file', 'new', { overwrite: true })
  expect(readFileSync(join(root, 'file'), 'utf8')).toBe('new')
  execFileSync('sha256sum', ['--status', '-c', 'file.sha256'], { cwd: root })
  expect(readdirSync(root).sort()).toEqual(['file', 'file.sha256'])
})

test.each([
  ['a directory on the way', 'link/file', () => symlinkSync(join(dir, 'outside'), join(root, 'link'))],
  ['the file itself', 'link', () => symlinkSync(join(dir, 'outside/victim'), join(root, 'link'))],
])('a link in the place of %s leads nowhere', async (_, path, plant) => {
  plant()
  writeFileSync(join(dir, 'outside/victim'), 'mine')
  await expect(write(path, 'x')).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' })
  expect(readdirSync(join(dir, 'outside'))).toEqual(['victim'])
  expect(readFileSync(join(dir, 'outside/victim'), 'utf8')).toBe('mine')
})

test('a link in the place of the sum, or of what is being written, is replaced and not followed', async () => {
  writeFileSync(join(dir, 'outside/victim'), 'mine')
  symlinkSync(join(dir, 'outside/victim'), join(root, 'file.sha256'))
  symlinkSync(join(dir, 'outside/victim'), join(root, '.part'))
  await write('file', 'x')
  symlinkSync(join(dir, 'outside/victim'), join(root, 'linked'))
  await write('linked', 'x', { overwrite: true })
  expect(readFileSync(join(dir, 'outside/victim'), 'utf8')).toBe('mine')
  expect(readFileSync(join(root, 'linked'), 'utf8')).toBe('x')
})

test('what breaks off leaves nothing', async () => {
  async function* broken() {
    yield Buffer.from('begun')
    throw new Error('broken off')
  }
  await expect(writeBelow({ root, names: ['file'] }, broken(), options)).rejects.toThrow('broken off')
  expect(readdirSync(root)).toEqual([])
})

test('a place that is none is named with the reason', async () => {
  writeFileSync(join(root, 'file'), '')
  await expect(write('file/below', 'x')).rejects.toThrow('file is no directory')
  mkdirSync(join(root, 'directory'))
  await expect(write('directory', 'x')).rejects.toMatchObject({ field: 'destination.file.path' })
  rmSync(root, { recursive: true })
  await expect(write('file', 'x')).rejects.toThrow('the directory for exports is not there')
  expect(existsSync(root)).toBe(false)
  mkdirSync(root)
  chmodSync(root, 0o755)
})
