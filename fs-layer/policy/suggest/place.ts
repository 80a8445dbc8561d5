import type { ByteString } from '../../protocol/filesystem.ts'

/** An entry of a codebase, as far as rules are made for it. */
export interface Place {
  readonly name: ByteString
  readonly isDirectory: boolean
  /** A file without contents: whoever may see it knows all of it. */
  readonly isEmpty: boolean
  /** Of a directory. */
  entries(): readonly Place[]
}

export function joinPath(directory: ByteString, name: ByteString): ByteString {
  return directory === '' ? name : `${directory}/${name}`
}
