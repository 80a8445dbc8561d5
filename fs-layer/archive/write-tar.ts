import type { ByteString } from '../protocol/filesystem.ts'
import { gathered } from './gathered.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-header.ts'
import { type ArchiveSource, contentsOf, itemsOf } from './write.ts'

export interface TarOptions {
  /** The directory that the files are in, in the archive; its parents come before it. Empty: the root. */
  readonly at?: ByteString
}

/** The same items give the same bytes always: all belongs to user 0, and no name of anybody is in it. */
export function writeTar(source: ArchiveSource, options: TarOptions = {}): AsyncGenerator<Buffer> {
  return gathered(pieces(source, options))
}

async function* pieces(source: ArchiveSource, { at = '' }: TarOptions): AsyncGenerator<Buffer> {
  const names = at === '' ? [] : at.split('/')
  for (const depth of names.keys()) {
    if (depth === 0) continue
    const path = names.slice(0, depth).join('/')
    yield tarHeader({ path, kind: 'directory', mode: 0o755, mtime: 0, mtimeNsec: 0, size: 0, ...OWNER })
  }
  for await (const { path, entry } of itemsOf(source)) {
    const { kind, mode, mtime, mtimeNsec } = entry
    const attributes = { path: placed(at, path), mode, mtime, mtimeNsec, ...OWNER }
    if (entry.kind === 'symlink') {
      yield tarHeader({ ...attributes, kind: 'symlink', size: 0, target: entry.target })
    } else if (entry.kind === 'directory') {
      yield tarHeader({ ...attributes, kind: 'directory', size: 0 })
    } else {
      yield tarHeader({ ...attributes, kind, size: entry.size })
      yield* contentsOf(source, entry)
      yield tarPadding(entry.size)
    }
  }
  yield tarEnd()
}

const OWNER = { uid: 0, gid: 0 }

function placed(at: ByteString, path: ByteString): ByteString {
  return at === '' || path === '' ? at + path : `${at}/${path}`
}
