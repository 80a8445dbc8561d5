import { createWriteStream } from 'node:fs'
import { chmod, lstat, mkdir, rename, rm, symlink, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { AsOption } from '../as.ts'
import { AlreadyExistsError, CroftError, InternalError, LocalFileError } from '../errors.ts'
import type { Entry } from '../files.ts'
import type { Sandbox } from '../sandbox.ts'
import { forEachLimited } from '../upload/for-each-limited.ts'
import { codeOf } from '../upload/walk.ts'
import type { Copied } from './copy-in.ts'

const CONCURRENT_FILES = 8

/**
 * What a sandbox holds is hostile: nothing of it may be written anywhere but below `to`. So a directory is
 * made anew beside its place, links in it come last, when nothing is written any more, and only then does it
 * get its name. Nothing is followed, and no set-user-id bit is kept.
 */
export async function copyOut(sandbox: Sandbox, from: string, to: string, options: AsOption): Promise<Copied> {
  const source = from === '' ? undefined : await sandbox.files.stat(from, options)
  const temporary = `${to}.${process.pid}-${Math.floor(performance.now())}.part`
  try {
    const isDirectory = source === undefined || source.kind === 'directory'
    if (isDirectory && (await exists(to))) throw new AlreadyExistsError(`${to} is there already`)
    const copied = isDirectory
      ? await copyDirectory(sandbox, from, temporary, options)
      : await copyOne(sandbox, source, temporary, options)
    await rename(temporary, to)
    return copied
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    if (error instanceof CroftError) throw error
    throw new LocalFileError(to, `${to} cannot be written (${codeOf(error)})`, { cause: error })
  }
}

async function copyDirectory(sandbox: Sandbox, from: string, to: string, options: AsOption): Promise<Copied> {
  const entries = await sandbox.files.list(from, { ...options, recursive: true })
  const prefix = from === '' ? 0 : Buffer.byteLength(from) + 1
  const target = (entry: Entry) => Buffer.concat([Buffer.from(`${to}/`), relativePath(entry, prefix)])

  await mkdir(to)
  const directories = entries.filter((entry) => entry.kind === 'directory')
  directories.sort((a, b) => a.rawPath.length - b.rawPath.length)
  for (const directory of directories) await mkdir(target(directory))

  const files = entries.filter((entry) => entry.kind === 'file')
  await forEachLimited(files, CONCURRENT_FILES, (file) => writeFile(sandbox, file, target(file), options))
  for (const entry of entries) {
    if (entry.kind === 'symlink') await symlink(entry.symlinkTarget ?? '', target(entry))
    else if (entry.kind !== 'file' && entry.kind !== 'directory') leftOut(entry)
  }
  return { files: files.length, bytes: files.reduce((sum, file) => sum + file.sizeBytes, 0) }
}

async function copyOne(sandbox: Sandbox, entry: Entry, to: string, options: AsOption): Promise<Copied> {
  if (entry.kind === 'symlink') {
    await symlink(entry.symlinkTarget ?? '', to)
    return { files: 0, bytes: 0 }
  }
  if (entry.kind !== 'file') throw new LocalFileError(to, `${entry.path} is a ${entry.kind}; it cannot be copied`)
  await mkdir(dirname(to), { recursive: true })
  await writeFile(sandbox, entry, Buffer.from(to), options)
  return { files: 1, bytes: entry.sizeBytes }
}

async function writeFile(sandbox: Sandbox, entry: Entry, to: Buffer, options: AsOption): Promise<void> {
  await pipeline(sandbox.files.readStream(entry.rawPath, options), createWriteStream(to, { flags: 'wx', mode: 0o600 }))
  await chmod(to, entry.mode & 0o777)
  await utimes(to, entry.modifiedAt, entry.modifiedAt)
}

/** Below the copied directory. The server checks names too; this side does not take its word for it. */
function relativePath(entry: Entry, prefix: number): Buffer {
  const path = Buffer.from(entry.rawPath).subarray(prefix)
  const names = path.toString('latin1').split('/')
  if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0'))) {
    throw new InternalError(`The server lists an impossible path ${JSON.stringify(entry.path)}`)
  }
  return path
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function leftOut(entry: Entry): void {
  process.stderr.write(`croft: left out ${JSON.stringify(entry.path)}: it is a ${entry.kind}\n`)
}
