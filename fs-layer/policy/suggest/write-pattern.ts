import type { ByteString } from '../../protocol/filesystem.ts'
import { MAX_ALTERNATIVES, MAX_PATTERN_BYTES } from '../limits.ts'

/** `self`: the entry. `below`: all that is in it. `tree`: both. */
export type Shape = 'self' | 'below' | 'tree'

const SUFFIXES: Readonly<Record<Shape, string>> = { self: '', below: '/**/*', tree: '/**' }

/** Glob patterns for some names of one directory, as few as may be. */
export function patternsFor(directory: ByteString, names: readonly ByteString[], shape: Shape): string[] {
  const prefix = prefixOf(directory)
  const suffix = SUFFIXES[shape]
  const room = MAX_PATTERN_BYTES - Buffer.byteLength(prefix + suffix) - BRACES_BYTES
  const patterns: string[] = []
  let group: string[] = []
  let bytes = 0
  const close = () => {
    if (group.length === 1) patterns.push(`${prefix}${group[0]}${suffix}`)
    else if (group.length > 1) patterns.push(`${prefix}{${group.join(',')}}${suffix}`)
    group = []
    bytes = 0
  }
  for (const name of names) {
    const text = escapeName(name)
    const size = Buffer.byteLength(text) + 1
    if (group.length >= MAX_ALTERNATIVES || bytes + size > room) close()
    group.push(text)
    bytes += size
  }
  close()
  return patterns
}

/** The pattern for everything directly in a directory. */
export function anyChildOf(directory: ByteString): string {
  return `${prefixOf(directory)}*`
}

/** The pattern for everything below a directory. */
export function anythingBelow(directory: ByteString): string {
  return `${prefixOf(directory)}**/*`
}

/** The pattern that a rule of another type stands for. */
export function literalPattern(path: string, shape: Shape): string {
  const names = path.split('/').filter((name) => name !== '')
  return `/${names.map((name) => escapeText(name)).join('/')}${SUFFIXES[shape]}`
}

/**
 * A name that is no UTF-8 is written with wildcards for its bytes, and so may match others. So is one with control
 * characters: whoever chose it shall not choose what a terminal or a shell makes of the rules.
 */
export function isExact(name: ByteString): boolean {
  const bytes = Buffer.from(name, 'latin1')
  return !bytes.some(isControl) && Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes)
}

function isControl(byte: number): boolean {
  return byte < 0x20 || byte === 0x7f
}

const BRACES_BYTES = 2

function prefixOf(directory: ByteString): string {
  return directory === '' ? '/' : `/${directory.split('/').map(escapeName).join('/')}/`
}

function escapeName(name: ByteString): string {
  if (isExact(name)) return escapeText(Buffer.from(name, 'latin1').toString('utf8'))
  const shown = (sign: string) => sign < '\u0080' && !isControl(sign.charCodeAt(0))
  return Array.from(name, (sign) => (shown(sign) ? escapeText(sign) : '?')).join('')
}

function escapeText(name: string): string {
  return name.replace(/[\\*?[\]{},]/g, '\\$&')
}
