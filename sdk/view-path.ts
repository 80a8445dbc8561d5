import { InvalidArgumentError } from './errors.ts'

/**
 * A path in the view of a sandbox, relative to its root; a leading `/` is allowed, `.` and `..` are not. Bytes
 * where the name is no UTF-8.
 */
export type ViewPath = string | Uint8Array

export interface ReadPath {
  /** Text; bytes that are no UTF-8 show as U+FFFD. */
  readonly path: string
  /** The bytes as they are, to pass on where `path` is not exact. */
  readonly rawPath: Uint8Array
}

export function pathToWire(path: ViewPath, field = 'path'): Uint8Array {
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw new InvalidArgumentError(`${field} must be a string or bytes`, field)
  }
  return typeof path === 'string' ? Buffer.from(path, 'utf8') : path
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
