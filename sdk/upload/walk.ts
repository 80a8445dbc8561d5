import type { BigIntStats, Dirent } from 'node:fs'
import { constants, lstatSync, readlinkSync } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { throwIfAborted } from '../abort.ts'
import { LocalFileError, UploadError } from '../errors.ts'
import { type BytePath, fromBytes, fromText, toBytes, toText } from './byte-path.ts'
import {
  CROFT_IGNORE_FILE,
  decide,
  enter,
  GIT_IGNORE_FILE,
  heedsFiles,
  type IgnoreFile,
  type IgnoreOptions,
  rootScope,
  type Scope,
  withFiles,
} from './ignore-rules.ts'

export type LocalEntry = LocalFile | LocalDirectory | LocalSymlink

interface EntryBase {
  /** Relative to the folder, no leading slash; empty is the folder itself. */
  readonly path: BytePath
  /** Permission bits (07777). */
  readonly mode: number
  readonly mtimeNs: bigint
}

export interface LocalFile extends EntryBase {
  readonly kind: 'file'
  readonly size: number
  readonly identity: FileIdentity
}

export interface LocalDirectory extends EntryBase {
  readonly kind: 'directory'
}

export interface LocalSymlink extends EntryBase {
  readonly kind: 'symlink'
  readonly target: BytePath
}

/** While all of this stays the same, so do the contents (see the racy rule of the hash cache). */
export interface FileIdentity {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

export interface WalkOptions extends IgnoreOptions {
  readonly signal?: AbortSignal | undefined
  /** For what cannot be uploaded and is left out: a socket, a FIFO, a device. */
  readonly onSkip?: ((path: string, kind: SkippedKind) => void) | undefined
  /** After each directory, with the entries found so far. */
  readonly onFound?: ((entries: number) => void) | undefined
}

export type SkippedKind = 'socket' | 'fifo' | 'device'

/** Directories that are read at a time. */
const CONCURRENT_DIRECTORIES = 8
/** Entries of one directory that are asked for before others get a turn: about 5 ms. */
const ENTRIES_PER_SLICE = 512
const MAX_IGNORE_FILE_BYTES = 1024 * 1024

/**
 * Everything under a folder that its ignore rules leave in; a directory before what is in it. Symlinks are
 * entries, never followed. Rejects with an `UploadError` that names what cannot be read.
 */
export async function walk(root: string, options: WalkOptions = {}): Promise<LocalEntry[]> {
  const rootBytes = fromText(root)
  const rootStat = await statRoot(root)
  const entries: LocalEntry[] = [directoryEntry('', rootStat)]
  const queue: Pending[] = [{ path: '', scope: rootScope(options, await filesAbove(root, options)) }]

  let running = 0
  await new Promise<void>((resolve, reject) => {
    let failed = false
    const startMore = () => {
      while (!failed && running < CONCURRENT_DIRECTORIES) {
        const next = queue.pop()
        if (next === undefined) break
        running++
        visit(next).then(finished, fail)
      }
      if (running === 0 && !failed) resolve()
    }
    const visit = async (pending: Pending) => {
      throwIfAborted(options.signal)
      const found = await readDirectory(rootBytes, pending, options)
      for (const { entry, scope } of found) {
        entries.push(entry)
        if (scope !== undefined) queue.push({ path: entry.path, scope })
      }
      options.onFound?.(entries.length)
    }
    const finished = () => {
      running--
      startMore()
    }
    const fail = (reason: unknown) => {
      failed = true
      reject(reason)
    }
    startMore()
  })
  return entries
}

interface Pending {
  readonly path: BytePath
  readonly scope: Scope
}

interface Found {
  readonly entry: LocalEntry
  /** Of a directory that is still to be read. */
  readonly scope?: Scope
}

async function statRoot(root: string): Promise<BigIntStats> {
  const stat = await lstat(root, { bigint: true }).catch((error: unknown) => {
    throw new LocalFileError(root, `The folder ${root} cannot be read (${codeOf(error)})`, { cause: error })
  })
  if (!stat.isDirectory()) throw new LocalFileError(root, `${root} is no folder`)
  return stat
}

/** The .gitignore files between the root of the repository, if the folder is inside one, and the folder. */
async function filesAbove(root: string, options: WalkOptions): Promise<IgnoreFile[]> {
  if (options.ignore === 'none') return []
  const names = root.split('/').filter((name) => name !== '')
  const parents = names.map((_, depth) => `/${names.slice(0, depth).join('/')}`)
  const inRepository = await lastIndexWith(parents, '.git')
  if (inRepository === undefined || (await exists(join(root, '.git')))) return []

  const files = parents.slice(inRepository).map(async (dir, at): Promise<IgnoreFile | undefined> => {
    const content = await readIgnoreFile(fromText(join(dir, GIT_IGNORE_FILE)))
    if (content === undefined) return undefined
    return { dir: '', above: fromText(names.slice(inRepository + at).join('/')), kind: 'git', content }
  })
  return (await Promise.all(files)).filter((file) => file !== undefined)
}

async function lastIndexWith(dirs: readonly string[], name: string): Promise<number | undefined> {
  for (let at = dirs.length - 1; at >= 0; at--) {
    if (await exists(join(dirs[at] as string, name))) return at
  }
  return undefined
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(codeOf(error))) return false
    throw error
  }
}

async function readDirectory(root: BytePath, { path, scope }: Pending, options: WalkOptions): Promise<Found[]> {
  const dirents = await readNames(root, path)
  const local = withFiles(scope, await ignoreFilesIn(root, path, dirents, scope))
  const found: Found[] = []
  for (const [at, dirent] of dirents.entries()) {
    if (at % ENTRIES_PER_SLICE === ENTRIES_PER_SLICE - 1) await setImmediate()
    const name = fromBytes(dirent.name)
    const entryPath = path === '' ? name : `${path}/${name}`
    const decision = decide(local, entryPath, dirent.isDirectory())
    if (decision === 'excluded') continue
    const entry = describe(root, entryPath, options)
    if (entry?.kind === 'directory') found.push({ entry, scope: enter(local, entryPath, decision) })
    else if (entry !== undefined) found.push({ entry })
  }
  return found
}

async function readNames(root: BytePath, path: BytePath): Promise<Dirent<Buffer>[]> {
  const dir = toBytes(path === '' ? root : `${root}/${path}`)
  try {
    // The types of node say nothing of `withFileTypes` together with `buffer`.
    return (await readdir(dir, { withFileTypes: true, encoding: 'buffer' })) as unknown as Dirent<Buffer>[]
  } catch (error) {
    const text = toText(path === '' ? '.' : path)
    throw new UploadError(text, `The directory ${text} cannot be read (${codeOf(error)})`, { cause: error })
  }
}

/** Links to ignore files are not followed; git does not either. */
async function ignoreFilesIn(
  root: BytePath,
  path: BytePath,
  dirents: readonly Dirent<Buffer>[],
  scope: Scope,
): Promise<IgnoreFile[]> {
  if (!heedsFiles(scope)) return []
  const files: IgnoreFile[] = []
  for (const dirent of dirents) {
    const name = dirent.isFile() ? fromBytes(dirent.name) : ''
    if (name !== GIT_IGNORE_FILE && name !== CROFT_IGNORE_FILE) continue
    // Inside a .git no pattern of git's holds.
    if (name === GIT_IGNORE_FILE && scope.git.length === 0) continue
    const content = await readIgnoreFile(`${root}/${path === '' ? name : `${path}/${name}`}`)
    if (content !== undefined) files.push({ dir: path, kind: name === GIT_IGNORE_FILE ? 'git' : 'croft', content })
  }
  return files
}

async function readIgnoreFile(path: BytePath): Promise<Buffer | undefined> {
  try {
    const file = await open(toBytes(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const stat = await file.stat()
      if (!stat.isFile()) return undefined
      if (stat.size > MAX_IGNORE_FILE_BYTES) {
        throw new UploadError(toText(path), `${toText(path)} has more than ${MAX_IGNORE_FILE_BYTES} bytes`)
      }
      return await file.readFile()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof UploadError) throw error
    if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes(codeOf(error))) return undefined
    throw new UploadError(toText(path), `${toText(path)} cannot be read (${codeOf(error)})`, { cause: error })
  }
}

/**
 * `undefined` for what is skipped, and for what has vanished since its directory was read.
 *
 * Not asynchronous: the kernel answers in 5 µs, and to hand each question to another thread takes three times
 * that, ten times where the other CPU sleeps. Slices leave time to others.
 */
function describe(root: BytePath, path: BytePath, options: WalkOptions): LocalEntry | undefined {
  const absolute = toBytes(`${root}/${path}`)
  try {
    const stat = lstatSync(absolute, { bigint: true })
    if (stat.isFile()) return fileEntry(path, stat)
    if (stat.isDirectory()) return directoryEntry(path, stat)
    if (stat.isSymbolicLink()) {
      const target = fromBytes(readlinkSync(absolute, { encoding: 'buffer' }))
      return { kind: 'symlink', path, mode: 0o777, mtimeNs: stat.mtimeNs, target }
    }
    options.onSkip?.(toText(path), stat.isSocket() ? 'socket' : stat.isFIFO() ? 'fifo' : 'device')
    return undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new UploadError(toText(path), `${toText(path)} cannot be read (${codeOf(error)})`, { cause: error })
  }
}

function fileEntry(path: BytePath, stat: BigIntStats): LocalFile {
  const { dev, ino, size, mtimeNs, ctimeNs } = stat
  const identity = { dev, ino, size, mtimeNs, ctimeNs }
  return { kind: 'file', path, mode: Number(stat.mode & 0o7777n), mtimeNs, size: Number(size), identity }
}

function directoryEntry(path: BytePath, stat: BigIntStats): LocalDirectory {
  return { kind: 'directory', path, mode: Number(stat.mode & 0o7777n), mtimeNs: stat.mtimeNs }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
