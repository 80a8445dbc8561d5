import type { ByteString } from '../../fs-layer/protocol/filesystem.ts'
import { MAX_PATH_BYTES } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'

/** Bytes of one name, as Linux has it. */
const MAX_NAME_BYTES = 255

/**
 * The one place where a path of a request is checked. Names between single slashes; no `.`, `..`, NUL or empty
 * name; a leading slash is the root and goes away. The root itself is ''. Throws INVALID_ARGUMENT naming
 * `field`.
 */
export function parseViewPath(path: Uint8Array | string, field: string): ByteString {
  const bytes = Buffer.from(path)
  if (bytes.length > MAX_PATH_BYTES) throw invalid(field, `is longer than ${MAX_PATH_BYTES} bytes`)
  const whole = bytes.toString('latin1')
  if (whole.includes('\0')) throw invalid(field, 'contains a NUL byte')
  const relative = whole.startsWith('/') ? whole.slice(1) : whole
  if (relative === '') return ''
  for (const name of relative.split('/')) checkName(name, field)
  return relative
}

/** As `parseViewPath`, of something in a directory: the root and, as uploads have no root to start from, a leading slash are refused. */
export function parseUploadPath(path: string, field: string): ByteString {
  if (path === '') throw invalid(field, 'is missing')
  if (path.startsWith('/'))
    throw invalid(field, 'must be relative to the root of the codebase, without a leading slash')
  return parseViewPath(path, field)
}

/** Not the root. */
export function parseEntryPath(path: Uint8Array | string, field: string): ByteString {
  const parsed = parseViewPath(path, field)
  if (parsed === '') throw invalid(field, path.length === 0 ? 'is missing' : 'must not be the root')
  return parsed
}

export function pathBytes(path: ByteString): Uint8Array {
  return Buffer.from(path, 'latin1')
}

/** Bytes that are no UTF-8 become U+FFFD: the text fields of wire v1 have no room for them. */
export function pathText(path: ByteString): string {
  return Buffer.from(path, 'latin1').toString('utf8')
}

function checkName(name: ByteString, field: string): void {
  if (name === '') throw invalid(field, 'contains an empty name')
  if (name === '.' || name === '..') throw invalid(field, `contains the name \`${name}\``)
  if (name.length > MAX_NAME_BYTES) throw invalid(field, `contains a name longer than ${MAX_NAME_BYTES} bytes`)
}
