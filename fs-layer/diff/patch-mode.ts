import type { FileEntry, SymlinkEntry } from '../store/objects.ts'

/** As git has it: a link, a program, or any other file. */
export function modeOf(entry: FileEntry | SymlinkEntry): string {
  if (entry.kind === 'symlink') return '120000'
  return (entry.mode & 0o100) === 0 ? '100644' : '100755'
}
