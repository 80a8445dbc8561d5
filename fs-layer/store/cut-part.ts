import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, FileEntry, Hash, SymlinkEntry, TreeEntry } from './objects.ts'

/**
 * What a view says of itself to have a version made of it, as it was at one moment: first the contents that the store
 * may lack, each under a number, then the directories that differ from the base, children before parents, the root last.
 */
export type CutPart =
  | { readonly files: readonly { readonly content: number; readonly data: Buffer }[] }
  /** A file that comes in pieces; the next parts are its bytes, as many as it has. */
  | { readonly begin: { readonly content: number; readonly size: number } }
  | { readonly data: Buffer }
  | { readonly directories: readonly CutDirectory[] }
  | { readonly root: CutRoot }

/** One directory, as a difference from one that the store has. Its number is its place among all that are told. */
export interface CutDirectory {
  /** A tree, or null for an empty one. */
  readonly from: Hash | null
  readonly without: readonly ByteString[]
  readonly with: readonly CutEntry[]
}

export type CutEntry =
  | TreeEntry
  | (Omit<FileEntry, 'hash'> & { readonly content: number })
  | (Omit<DirectoryEntry, 'hash' | 'inodes' | 'bytes'> & { readonly directory: number })
  | SymlinkEntry

export interface CutRoot {
  readonly mode: number
  readonly mtime: number
  readonly mtimeNsec: number
  /** FIFOs and sockets, which no version has. */
  readonly skipped: number
}
