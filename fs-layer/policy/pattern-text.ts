import { MAX_ALTERNATIVES, MAX_BRACE_DEPTH, MAX_PATTERN_BYTES } from './limits.ts'
import { PolicyError } from './policy-error.ts'

/** One sign of a pattern, and where it stands in the text. */
export type Token =
  | { readonly kind: 'byte'; readonly byte: number; readonly at: number }
  | { readonly kind: 'class'; readonly accepts: ByteSet; readonly at: number }
  | { readonly kind: 'any' | 'star' | 'globstar' | 'slash'; readonly at: number }

/** 256 entries, 1 for each byte in the set. */
export type ByteSet = Uint8Array

/** A pattern as it was given, for errors. */
export interface PatternSource {
  readonly pattern: string
  readonly index: number
}

/**
 * The patterns without braces that a glob stands for, each as a list of tokens, in the order of the text.
 * Throws a `PolicyError`.
 */
export function readPattern(source: PatternSource): Token[][] {
  checkText(source)
  const reader: Reader = { source, text: source.pattern, at: 0, depth: 0 }
  const nodes = readSequence(reader)
  const count = countSequence(nodes)
  if (count > MAX_ALTERNATIVES) {
    throw refused(source, 0, `its braces stand for ${count} patterns; at most ${MAX_ALTERNATIVES} are allowed`)
  }
  return writeOut(nodes)
}

/** What every pattern must hold to, globs and literal paths alike. */
export function checkText(source: PatternSource): void {
  const { pattern } = source
  if (typeof pattern !== 'string') {
    throw new PolicyError('invalid-rule', { index: source.index, field: 'pattern', reason: 'it is not a text' })
  }
  if (pattern === '') throw refused(source, 0, 'it is empty')
  const bytes = Buffer.byteLength(pattern)
  if (bytes > MAX_PATTERN_BYTES) {
    throw refused(source, 0, `it has ${bytes} bytes; at most ${MAX_PATTERN_BYTES} are allowed`)
  }
  const nul = pattern.indexOf('\0')
  if (nul >= 0) throw refused(source, nul, 'no name contains a NUL')
  const loneSurrogate = pattern.search(/\p{Surrogate}/u)
  if (loneSurrogate >= 0) throw refused(source, loneSurrogate, 'it is not well-formed Unicode')
}

export function refused(source: PatternSource, position: number, reason: string): PolicyError {
  return new PolicyError('invalid-pattern', { ...source, position, reason })
}

interface Group {
  readonly kind: 'group'
  readonly alternatives: readonly (readonly Node[])[]
}

type Node = Token | Group

interface Reader {
  readonly source: PatternSource
  readonly text: string
  at: number
  depth: number
}

function readSequence(reader: Reader): Node[] {
  const nodes: Node[] = []
  while (reader.at < reader.text.length) {
    const at = reader.at
    const sign = reader.text[at]
    if (reader.depth > 0 && (sign === ',' || sign === '}')) break
    if (sign === '}') throw refused(reader.source, at, 'a } without its {; write \\} for the sign itself')
    if (sign === '{') nodes.push(readGroup(reader))
    else if (sign === '[') nodes.push(readClass(reader))
    else if (sign === '*') nodes.push(readStars(reader))
    else {
      reader.at += 1
      if (sign === '/') nodes.push({ kind: 'slash', at })
      else if (sign === '?') nodes.push({ kind: 'any', at })
      else if (sign === '\\') nodes.push(...readEscaped(reader, at))
      else nodes.push(...readLiteral(reader, at))
    }
  }
  return nodes
}

function readGroup(reader: Reader): Group {
  const start = reader.at
  reader.at += 1
  reader.depth += 1
  if (reader.depth > MAX_BRACE_DEPTH) {
    throw refused(reader.source, start, `braces lie deeper than ${MAX_BRACE_DEPTH} within each other`)
  }
  const alternatives = [readSequence(reader)]
  while (reader.text[reader.at] === ',') {
    reader.at += 1
    alternatives.push(readSequence(reader))
  }
  if (reader.text[reader.at] !== '}') {
    throw refused(reader.source, start, 'a { without its }; write \\{ for the sign itself')
  }
  // Shells take `{a}` for three plain signs and `{1..9}` for a range; here it would be neither.
  if (alternatives.length === 1) {
    throw refused(reader.source, start, 'braces hold alternatives with commas between; write \\{ for the sign itself')
  }
  reader.at += 1
  reader.depth -= 1
  return { kind: 'group', alternatives }
}

function readStars(reader: Reader): Token {
  const at = reader.at
  while (reader.text[reader.at] === '*') reader.at += 1
  const count = reader.at - at
  if (count > 2) throw refused(reader.source, at, 'more than two * in a row')
  return { kind: count === 2 ? 'globstar' : 'star', at }
}

function readEscaped(reader: Reader, at: number): Token[] {
  const sign = reader.text[reader.at]
  if (sign === undefined) throw refused(reader.source, at, 'a \\ with nothing after it; write \\\\ for the sign itself')
  if (sign === '/') throw refused(reader.source, at, 'a / is never part of a name')
  return readLiteral(reader, reader.at)
}

function readLiteral(reader: Reader, at: number): Token[] {
  const character = String.fromCodePoint(reader.text.codePointAt(at) ?? 0)
  reader.at = at + character.length
  return Array.from(Buffer.from(character), (byte): Token => ({ kind: 'byte', byte, at }))
}

function readClass(reader: Reader): Token {
  const start = reader.at
  const { source, text } = reader
  reader.at += 1
  const negated = text[reader.at] === '!' || text[reader.at] === '^'
  if (negated) reader.at += 1
  const listed = new Uint8Array(256)
  for (let first = true; first || text[reader.at] !== ']'; first = false) {
    const at = reader.at
    const from = readClassMember(reader, start)
    const isRange = text[reader.at] === '-' && text[reader.at + 1] !== ']' && reader.at + 1 < text.length
    if (isRange) reader.at += 1
    const to = isRange ? readClassMember(reader, start) : from
    if (to < from) throw refused(source, at, 'a range that ends before it begins')
    if (from <= SLASH && SLASH <= to) throw refused(source, at, 'a / is never part of a name, so not of a class')
    listed.fill(1, from, to + 1)
  }
  reader.at += 1
  const accepts = negated ? listed.map((member) => 1 - member) : listed
  return { kind: 'class', accepts, at: start }
}

const SLASH = 0x2f

function readClassMember(reader: Reader, start: number): number {
  const { source, text } = reader
  const escaped = text[reader.at] === '\\'
  if (escaped) reader.at += 1
  const at = reader.at
  const code = text.codePointAt(at)
  if (code === undefined) throw refused(source, start, 'a [ without its ]; write \\[ for the sign itself')
  const next = text[at + 1]
  if (!escaped && code === 0x5b && (next === ':' || next === '.' || next === '=')) {
    throw refused(source, at, 'named classes such as [:alpha:] are not known; write the range')
  }
  // A class stands for one byte, and such a character has several: it would match a part of one.
  if (code > 0x7f) throw refused(source, at, 'a class holds ASCII only; write the characters as {é,è}')
  reader.at += 1
  return code
}

function countSequence(nodes: readonly Node[]): number {
  return nodes.reduce((product, node) => (node.kind === 'group' ? product * countGroup(node) : product), 1)
}

function countGroup(group: Group): number {
  return group.alternatives.reduce((sum, alternative) => sum + countSequence(alternative), 0)
}

function writeOut(nodes: readonly Node[]): Token[][] {
  let patterns: Token[][] = [[]]
  for (const node of nodes) {
    if (node.kind === 'group') {
      const endings = node.alternatives.flatMap(writeOut)
      patterns = patterns.flatMap((pattern) => endings.map((ending) => [...pattern, ...ending]))
    } else {
      for (const pattern of patterns) pattern.push(node)
    }
  }
  return patterns
}
