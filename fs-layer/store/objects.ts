import type { ByteString } from '../protocol/filesystem.ts'

/**
 * The objects of the store. A blob is a file's contents, named by their SHA-256. A tree is one directory,
 * named by the SHA-256 of its canonical bytes (docs/spec/store.md). A root is a tree with the attributes of
 * its own directory: the one hash that stands for a whole version.
 */

/** 32 bytes as 64 lower-case hex digits. */
export type Hash = string

export type TreeEntry = FileEntry | DirectoryEntry | SymlinkEntry

interface EntryBase {
  readonly name: ByteString
  /** Permission bits (07777). */
  readonly mode: number
  /** Seconds since 1970. */
  readonly mtime: number
  readonly mtimeNsec: number
}

export interface FileEntry extends EntryBase {
  readonly kind: 'file'
  readonly size: number
  readonly hash: Hash
}

export interface DirectoryEntry extends EntryBase {
  readonly kind: 'directory'
  readonly hash: Hash
  /**
   * Inodes in this subtree, the directory itself included. So the inode numbers of a tree can be given in
   * preorder without looking at it: the first entry of a directory numbered n is n + 1, and each next one is
   * the one before plus its `inodes` (1 for a file or link).
   */
  readonly inodes: number
  /** Bytes of all files below. */
  readonly bytes: number
}

export interface SymlinkEntry extends EntryBase {
  readonly kind: 'symlink'
  readonly target: ByteString
}

/** Entries are sorted by the bytes of their names, each name once. */
export interface Tree {
  readonly entries: readonly TreeEntry[]
}

/** A version of a codebase: what its root hash names. */
export interface Root {
  readonly mode: number
  readonly mtime: number
  readonly mtimeNsec: number
  readonly tree: Hash
  /** As in `DirectoryEntry`: the root directory included. */
  readonly inodes: number
  readonly bytes: number
  /** Regular files and links. */
  readonly files: number
}
