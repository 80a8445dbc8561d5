import { createReadStream } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AsOption } from '../as.ts'
import { LocalFileError } from '../errors.ts'
import type { Sandbox } from '../sandbox.ts'
import { toBytes } from '../upload/byte-path.ts'
import { forEachLimited } from '../upload/for-each-limited.ts'
import { codeOf, walk } from '../upload/walk.ts'

export interface Copied {
  readonly files: number
  readonly bytes: number
}

const CONCURRENT_FILES = 8

/** A file, or a directory with all that is in it; links are told on stderr and left out. */
export async function copyIn(sandbox: Sandbox, from: string, to: string, options: AsOption): Promise<Copied> {
  const stat = await lstat(from).catch((error: unknown) => {
    throw new LocalFileError(from, `${from} cannot be read (${codeOf(error)})`, { cause: error })
  })
  if (stat.isFile()) {
    await sandbox.files.write(to, createReadStream(from), { ...options, mode: stat.mode & 0o7777 })
    return { files: 1, bytes: stat.size }
  }
  if (!stat.isDirectory()) throw new LocalFileError(from, `${from} is neither a file nor a directory`)

  const entries = await walk(from, { ignore: 'none', signal: options.signal, onSkip: leftOut })
  const files = entries.filter((entry) => entry.kind === 'file')
  for (const entry of entries) {
    if (entry.kind === 'directory') {
      await sandbox.files.mkdir(inside(to, entry.path), { ...options, mode: entry.mode })
    } else if (entry.kind === 'symlink') {
      leftOut(toBytes(entry.path).toString(), 'symlink')
    }
  }
  await forEachLimited(files, CONCURRENT_FILES, async (file) => {
    const local = Buffer.concat([Buffer.from(join(from, '/')), toBytes(file.path)])
    await sandbox.files.write(inside(to, file.path), createReadStream(local), { ...options, mode: file.mode })
  })
  return { files: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0) }
}

function inside(to: string, path: string): Uint8Array {
  return path === '' ? Buffer.from(to) : Buffer.concat([Buffer.from(`${to}/`), toBytes(path)])
}

function leftOut(path: string, kind: string): void {
  process.stderr.write(`croft: left out ${path}: it is a ${kind}\n`)
}
