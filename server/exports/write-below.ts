import { createHash } from 'node:crypto'
import { constants, type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { codeOf } from '../../fs-layer/store/store-error.ts'
import { CroftError, printable } from '../errors/croft-error.ts'

export interface Place {
  /** One that the operator has named; it may be a link itself. */
  readonly root: string
  /** Of directories below it, and of the file last. */
  readonly names: readonly string[]
}

export interface WriteOptions {
  /** What is left of it under this name is the writer's own. */
  readonly temporaryName: string
  readonly overwrite: boolean
}

export interface WrittenFile {
  readonly size: number
  readonly sha256: Buffer
}

/**
 * A file that appears under its name when it is whole and on the disk, and beside it its sum. Each directory on the way is
 * opened in the one before, and none by a link: whoever can write to one of them leads us nowhere else.
 */
export async function writeBelow(
  { root, names }: Place,
  chunks: AsyncIterable<Buffer>,
  { temporaryName, overwrite }: WriteOptions,
): Promise<WrittenFile> {
  const name = names.at(-1) ?? ''
  const directory = await openBelow(root, names.slice(0, -1))
  try {
    const at = (each: string) => `/proc/self/fd/${directory.fd}/${each}`
    const temporary = at(temporaryName)
    await rm(temporary, { force: true })
    try {
      const written = await write(temporary, chunks)
      const sum = Buffer.from(`${written.sha256.toString('hex')}  ${name}\n`)
      if (overwrite) await rename(temporary, at(name))
      else await place(temporary, at(name), name, written.sha256)
      await write(temporary, [sum])
      await rename(temporary, at(`${name}.sha256`))
      await directory.sync()
      return written
    } finally {
      await rm(temporary, { force: true })
    }
  } catch (error) {
    throw asRefusal(error, names)
  } finally {
    await directory.close()
  }
}

async function openBelow(root: string, names: readonly string[]): Promise<FileHandle> {
  const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants
  let directory: FileHandle
  try {
    directory = await open(root, O_RDONLY | O_DIRECTORY)
  } catch (error) {
    throw asRefusal(error, [])
  }
  for (const name of names) {
    const path = `/proc/self/fd/${directory.fd}/${name}`
    try {
      const next = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(async (error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
        await mkdir(path, { mode: 0o700 }).catch((failed: unknown) => {
          if (codeOf(failed) !== 'EEXIST') throw failed
        })
        return await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      })
      await directory.close()
      directory = next
    } catch (error) {
      await directory.close()
      throw asRefusal(error, [name])
    }
  }
  return directory
}

async function write(path: string, chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<WrittenFile> {
  const file = await open(path, 'wx', 0o600)
  try {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of chunks) {
      hash.update(chunk)
      size += chunk.length
      await file.writeFile(chunk)
    }
    await file.sync()
    return { size, sha256: hash.digest() }
  } finally {
    await file.close()
  }
}

/** In no other's place. What a job that was cut off behind this line has written is what it would write again. */
async function place(temporary: string, path: string, name: string, sha256: Buffer): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    if (!(await hashOf(path)).equals(sha256)) {
      const text = `${printable(name)} is there already, and is another file: take another name, or overwrite`
      throw new CroftError('ALREADY_EXISTS', text, { field: 'destination.file.path' })
    }
  }
  await rm(temporary)
}

async function hashOf(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const hash = createHash('sha256')
    for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk)
    return hash.digest()
  } finally {
    await file.close()
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  ELOOP: 'is a link, which nobody follows here',
  ENOTDIR: 'is no directory, or a link',
  EISDIR: 'is a directory',
  ENOENT: 'is not there',
  EACCES: 'is not to be written to by the server',
  EPERM: 'is not to be written to by the server',
  EROFS: 'is on a disk that takes no writes',
  ENOSPC: 'has no room left on its disk',
  EDQUOT: 'has no room left on its disk',
}

function asRefusal(error: unknown, names: readonly string[]): unknown {
  const why = REFUSALS[codeOf(error) ?? '']
  if (error instanceof CroftError || why === undefined) return error
  const what = names.length === 0 ? 'the directory for exports' : printable(names.join('/'))
  return new CroftError('FAILED_PRECONDITION', `${what} ${why}`, { field: 'destination.file.path', cause: error })
}
