import type { ByteString } from '../protocol/filesystem.ts'
import { MAX_NAME_BYTES, MAX_PATH_BYTES } from './limits.ts'
import { StoreError } from './store-error.ts'

/**
 * What is wrong with a name, or null. Anything else is a name: other systems' reserved characters, control
 * characters and bytes that are no UTF-8 among them.
 */
export function nameFault(name: ByteString): string | null {
  if (name === '') return 'An empty name'
  if (name.length > MAX_NAME_BYTES) return `A name over ${MAX_NAME_BYTES} bytes`
  if (name === '.' || name === '..') return 'A name that is "." or ".."'
  for (let at = 0; at < name.length; at++) {
    const unit = name.charCodeAt(at)
    if (unit === 0) return 'A NUL byte in a name'
    if (unit === SLASH) return 'A slash in a name'
    if (unit > 0xff) return 'A name that is no byte string'
  }
  return null
}

/**
 * The names of a path, from the root down; none for the empty path, which is the root.
 *
 * @param whole what errors name, where `path` is a part of it
 * @throws {StoreError} `invalid` or `limit`, with the path
 */
export function splitPath(path: ByteString, whole: ByteString = path): ByteString[] {
  if (path === '') return []
  checkPathStart(path)
  const names = path.split('/')
  for (const name of names) checkName(name, whole)
  return names
}

/**
 * A path that is not empty as its parent's path, of which nothing is known yet, and its last name.
 *
 * @throws {StoreError} `invalid` or `limit`, with the path
 */
export function splitLast(path: ByteString): { parent: ByteString; name: ByteString } {
  checkPathStart(path)
  const slash = path.lastIndexOf('/')
  const name = path.slice(slash + 1)
  checkName(name, path)
  return { parent: path.slice(0, Math.max(slash, 0)), name }
}

/** The path of a name in a directory. Nothing is checked. */
export function joinPath(parent: ByteString, name: ByteString): ByteString {
  return parent === '' ? name : `${parent}/${name}`
}

const SLASH = 0x2f

function checkPathStart(path: ByteString): void {
  if (path.length > MAX_PATH_BYTES) throw new StoreError('limit', `A path over ${MAX_PATH_BYTES} bytes`, { path })
  if (path.startsWith('/')) throw new StoreError('invalid', 'A path with a leading slash', { path })
}

function checkName(name: ByteString, path: ByteString): void {
  const fault = nameFault(name)
  if (fault !== null) throw new StoreError(name.length > MAX_NAME_BYTES ? 'limit' : 'invalid', fault, { path })
}
