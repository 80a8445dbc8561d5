import { createHash } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makePrivateDir } from '../connect/user-dirs.ts'
import { LocalFileError } from '../errors.ts'
import { codeOf, type FileIdentity } from './walk.ts'

/**
 * The hashes of a folder's files from one upload to the next, in a file of the user's cache, by (device,
 * inode, size, mtime, ctime).
 *
 * A file that is written again within the same tick of the clock keeps its times. So, as in git's index, an
 * entry is only kept when the file's times were well in the past as it was hashed.
 */
export interface HashCache {
  get(identity: FileIdentity): Buffer | undefined
  /** `hashedAtMs`: by the wall clock, before the first byte was read. */
  set(identity: FileIdentity, sha256: Buffer, hashedAtMs: number): void
  /** Keeps what was asked for or set since the cache was opened, and forgets the rest. */
  save(): Promise<void>
}

/** Filesystems exist that keep mtime in steps of 2 s. */
export const RACY_MTIME_MS = 2_000
/** ctime is set by the kernel's own clock, in ticks of at most 10 ms. */
export const RACY_CTIME_MS = 100

const HEAD = 'croft-hashes 1'

/** An unreadable or damaged cache is an empty one. */
export async function openHashCache(cacheDir: string, folder: string): Promise<HashCache> {
  const dir = join(cacheDir, 'hashes')
  const file = join(dir, createHash('sha256').update(folder).digest('hex').slice(0, 32))
  const known = parse(await readIfThere(file))
  const used = new Map<string, string>()
  let fresh = 0

  return {
    get(identity) {
      const key = keyOf(identity)
      const hash = known.get(key)
      if (hash === undefined) return undefined
      used.set(key, hash)
      return Buffer.from(hash, 'hex')
    },
    set(identity, sha256, hashedAtMs) {
      if (isRacy(identity, hashedAtMs)) return
      used.set(keyOf(identity), sha256.toString('hex'))
      fresh++
    },
    async save() {
      if (fresh === 0 && used.size === known.size) return
      await makePrivateDir(dir)
      await replace(file, serialize(used))
    },
  }
}

/** No cache, for where there is nowhere to keep one. */
export function noHashCache(): HashCache {
  return { get: () => undefined, set: () => undefined, save: async () => undefined }
}

export function isRacy(identity: FileIdentity, hashedAtMs: number): boolean {
  const mtimeMs = Number(identity.mtimeNs / 1_000_000n)
  const ctimeMs = Number(identity.ctimeNs / 1_000_000n)
  return mtimeMs > hashedAtMs - RACY_MTIME_MS || ctimeMs > hashedAtMs - RACY_CTIME_MS
}

function keyOf({ dev, ino, size, mtimeNs, ctimeNs }: FileIdentity): string {
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

function serialize(hashes: ReadonlyMap<string, string>): string {
  const lines = [HEAD, ...Array.from(hashes, ([key, hash]) => `${key} ${hash}`)].join('\n')
  return `${lines}\n${checksum(lines)}\n`
}

/** The last line is a checksum of all before it: a torn or edited file counts for nothing. */
function parse(text: string): Map<string, string> {
  const end = text.lastIndexOf('\n', text.length - 2)
  const body = text.slice(0, Math.max(end, 0))
  if (!body.startsWith(`${HEAD}\n`) || text.slice(end + 1) !== `${checksum(body)}\n`) return new Map()
  const lines = body.split('\n').slice(1)
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]))
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return ''
    throw new LocalFileError(file, `The cache of hashes cannot be read (${codeOf(error)})`, { cause: error })
  }
}

/** Two uploads of one folder may save at once: each writes a file of its own, the later rename wins. */
async function replace(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.${performance.now()}`
  try {
    await writeFile(temporary, text, { mode: 0o600, flag: 'wx' })
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw new LocalFileError(file, `The cache of hashes cannot be written (${codeOf(error)})`, { cause: error })
  }
}
