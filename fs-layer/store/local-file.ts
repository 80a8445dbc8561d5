import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { codeOf } from './store-error.ts'

/** A local file's attributes, as they stand in a tree. */
export interface LocalAttributes {
  /** Permission bits (07777). */
  readonly mode: number
  /** Seconds since 1970. */
  readonly mtime: number
  readonly mtimeNsec: number
}

/** What tells one state of a file from another, with as much as the system says. */
export interface LocalState extends LocalAttributes {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other'
  readonly size: number
  readonly id: string
  readonly version: string
}

interface BigStats {
  readonly mode: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly dev: bigint
  readonly ino: bigint
}

export function localState(stats: BigStats): LocalState {
  const nsec = ((stats.mtimeNs % BILLION) + BILLION) % BILLION
  return {
    kind: KINDS.get(Number(stats.mode) & constants.S_IFMT) ?? 'other',
    mode: Number(stats.mode) & 0o7777,
    mtime: Number((stats.mtimeNs - nsec) / BILLION),
    mtimeNsec: Number(nsec),
    size: Number(stats.size),
    id: `${stats.dev}:${stats.ino}`,
    version: `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`,
  }
}

/** Opens without following a link in the last name and without waiting for the writer of a FIFO. */
export function openLocal(path: Buffer, directory: boolean): number {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  return openSync(path, directory ? flags | constants.O_DIRECTORY : flags)
}

/** The errors of opening what has gone, or become something else, since its directory was read. */
export function isGone(error: unknown): boolean {
  return ['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'].includes(codeOf(error) ?? '')
}

export function stateOf(fd: number): LocalState {
  return localState(fstatSync(fd, { bigint: true }))
}

/** All of a file that should have `size` bytes; null where it has another length by now. */
export function readWhole(fd: number, size: number): Buffer | null {
  // One byte more than there should be, to see that there is none.
  const buffer = Buffer.allocUnsafe(size + 1)
  let length = 0
  while (length <= size) {
    const read = readSync(fd, buffer, length, size + 1 - length, length)
    if (read === 0) break
    length += read
  }
  return length === size ? buffer.subarray(0, size) : null
}

/** Runs `use` with an open descriptor and closes it. */
export async function withLocal<T>(fd: number, use: (fd: number) => T | Promise<T>): Promise<T> {
  try {
    return await use(fd)
  } finally {
    closeSync(fd)
  }
}

const BILLION = 1_000_000_000n
const KINDS = new Map<number, LocalState['kind']>([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
])
