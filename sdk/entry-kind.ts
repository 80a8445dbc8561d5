import { FileKind } from '../proto/index.ts'

export type EntryKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket'

const KINDS: Record<FileKind, EntryKind> = {
  [FileKind.UNSPECIFIED]: 'file',
  [FileKind.FILE]: 'file',
  [FileKind.DIRECTORY]: 'directory',
  [FileKind.SYMLINK]: 'symlink',
  [FileKind.FIFO]: 'fifo',
  [FileKind.SOCKET]: 'socket',
}

export function kindFromWire(kind: FileKind): EntryKind {
  return KINDS[kind]
}
