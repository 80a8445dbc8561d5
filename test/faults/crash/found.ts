import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { calls } from '../../fixtures/caller/calls.ts'

/** What stands at a path after a crash. */
export interface Found {
  readonly kind: 'file' | 'directory' | 'symlink'
  readonly ino: number
  readonly mode: number
  readonly nlink: number
  readonly xattrs: readonly (readonly [string, string])[]
  readonly target: string
  readonly bytes: Buffer
}

/** All below a directory, by path. */
export function find(directory: string, at = ''): Map<string, Found> {
  const found = new Map<string, Found>()
  for (const name of fs.readdirSync(join(directory, at)).sort()) {
    const path = at === '' ? name : `${at}/${name}`
    const each = look(join(directory, path))
    found.set(path, each)
    if (each.kind === 'directory') for (const [below, deeper] of find(directory, path)) found.set(below, deeper)
  }
  return found
}

/** Short enough to be kept, and the same only if all is the same. */
export function digestOf(found: ReadonlyMap<string, Found>): string {
  const lines = [...found].map(([path, { bytes, ...rest }]) => {
    return JSON.stringify([path, rest, createHash('sha256').update(bytes).digest('hex')])
  })
  return lines.join('\n')
}

function look(path: string): Found {
  const stat = fs.lstatSync(path)
  const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'file'
  const bytes = kind === 'file' ? fs.readFileSync(path) : Buffer.alloc(0)
  if (kind === 'file' && bytes.length !== stat.size)
    throw new Error(`${path} has ${stat.size} bytes, read ${bytes.length}`)
  return {
    kind,
    ino: stat.ino,
    mode: stat.mode & 0o7777,
    nlink: stat.nlink,
    xattrs: kind === 'symlink' ? [] : calls.listxattr(path).map((name) => [name, calls.getxattr(path, name)] as const),
    target: kind === 'symlink' ? fs.readlinkSync(path) : '',
    bytes,
  }
}
