import type { ByteString } from '../protocol/filesystem.ts'
import type { ByteSet, Token } from './pattern-text.ts'

/** The pattern of one name. */
export interface NameGlob {
  /** Equal for equal patterns. */
  readonly key: string
  /** The name itself, where the pattern has no wildcard. */
  readonly literal: ByteString | null
  /** Every name matches. */
  readonly any: boolean
  readonly literalBytes: number
  readonly stars: number
  /** `?`, classes not counted. */
  readonly anyBytes: number
  /** With which byte every match begins and ends; -1 where that is open. */
  readonly firstByte: number
  readonly lastByte: number
  /** Takes time in proportion to the name's length, whatever the pattern. */
  matches(name: ByteString): boolean
}

/** `tokens` are those of one name: bytes, classes, `?` and `*`, at least one, no two `*` side by side. */
export function nameGlob(tokens: readonly Token[]): NameGlob {
  const stars = countOf(tokens, 'star')
  const anyBytes = countOf(tokens, 'any')
  const literalBytes = countOf(tokens, 'byte')
  // Names are never empty, so `?*` is as good as `*`.
  const any = stars > 0 && stars + anyBytes === tokens.length && anyBytes <= 1
  return {
    key: tokens.map(keyOf).join(''),
    literal: literalBytes === tokens.length ? literalText(tokens) : null,
    any,
    literalBytes,
    stars,
    anyBytes,
    firstByte: byteOf(tokens[0]),
    lastByte: byteOf(tokens.at(-1)),
    matches: any ? () => true : matcherOf(tokens, stars, literalBytes),
  }
}

export function literalName(name: ByteString): NameGlob {
  return nameGlob(Array.from(name, (sign): Token => ({ kind: 'byte', byte: sign.charCodeAt(0), at: 0 })))
}

/** The shortest name that could match. */
export function minNameBytes(tokens: readonly Token[]): number {
  return tokens.length - countOf(tokens, 'star')
}

function countOf(tokens: readonly Token[], kind: Token['kind']): number {
  return tokens.reduce((count, token) => (token.kind === kind ? count + 1 : count), 0)
}

// Bytes stand for themselves; what is no byte begins with a code unit over 255.
function keyOf(token: Token): string {
  if (token.kind === 'byte') return String.fromCharCode(token.byte)
  if (token.kind === 'class') return `\u0101${packed(token.accepts)}`
  return token.kind === 'star' ? '\u0102' : '\u0103'
}

function packed(set: ByteSet): string {
  const units = new Uint16Array(16)
  for (let byte = 0; byte < 256; byte += 1)
    if (isIn(set, byte)) units[byte >> 4] = (units[byte >> 4] ?? 0) | (1 << (byte & 15))
  return String.fromCharCode(...units)
}

function byteOf(token: Token | undefined): number {
  return token?.kind === 'byte' ? token.byte : -1
}

function literalText(tokens: readonly Token[]): ByteString {
  return tokens.map((token) => (token.kind === 'byte' ? String.fromCharCode(token.byte) : '')).join('')
}

function matcherOf(tokens: readonly Token[], stars: number, literalBytes: number): (name: ByteString) => boolean {
  if (literalBytes + stars < tokens.length || stars > 1) return scanner(tokens)
  const star = tokens.findIndex((token) => token.kind === 'star')
  if (star < 0) {
    const literal = literalText(tokens)
    return (name) => name === literal
  }
  const head = literalText(tokens.slice(0, star))
  const tail = literalText(tokens.slice(star + 1))
  return (name) => name.length >= literalBytes && name.startsWith(head) && name.endsWith(tail)
}

/**
 * All ways to match are followed at once, one bit each: bit i says that the first i tokens (stars not counted)
 * have taken the bytes so far. So no name can make it go back, however many stars the pattern has.
 */
function scanner(tokens: readonly Token[]): (name: ByteString) => boolean {
  const steps = tokens.filter((token) => token.kind !== 'star')
  const words = (steps.length >> 5) + 1
  const { rowOf, rows } = takingRows(steps, words)
  const loops = new Uint32Array(words)
  let taken = 0
  for (const token of tokens) {
    if (token.kind === 'star') setBit(loops, taken)
    else taken += 1
  }
  const last = steps.length
  return (name) => {
    const ways = new Uint32Array(words)
    ways[0] = 1
    for (let at = 0; at < name.length; at += 1) {
      const row = (rowOf[name.charCodeAt(at)] ?? 0) * words
      let carried = 0
      let left = 0
      for (let word = 0; word < words; word += 1) {
        const before = ways[word] ?? 0
        const moved = before & (rows[row + word] ?? 0)
        const after = (moved << 1) | carried | (before & (loops[word] ?? 0))
        carried = moved >>> 31
        ways[word] = after
        left |= after
      }
      if (left === 0) return false
    }
    return (((ways[last >> 5] ?? 0) >>> (last & 31)) & 1) === 1
  }
}

/** For each byte the row of bits that says which steps take it; bytes that all steps treat alike share a row. */
function takingRows(steps: readonly Token[], words: number): { rowOf: Uint8Array; rows: Uint32Array } {
  const rowOf = new Uint8Array(256)
  const known = new Map<string, number>()
  const rows: number[] = []
  for (let byte = 0; byte < 256; byte += 1) {
    const row = new Uint32Array(words)
    for (const [index, step] of steps.entries()) if (takes(step, byte)) setBit(row, index)
    const key = row.join()
    let number = known.get(key)
    if (number === undefined) {
      number = known.size
      known.set(key, number)
      rows.push(...row)
    }
    rowOf[byte] = number
  }
  return { rowOf, rows: Uint32Array.from(rows) }
}

function takes(step: Token, byte: number): boolean {
  if (step.kind === 'byte') return step.byte === byte
  if (step.kind === 'class') return isIn(step.accepts, byte)
  return true
}

function isIn(set: ByteSet, byte: number): boolean {
  return set[byte] === 1
}

function setBit(words: Uint32Array, bit: number): void {
  words[bit >> 5] = (words[bit >> 5] ?? 0) | (1 << (bit & 31))
}
