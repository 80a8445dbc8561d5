import { inflateSync } from 'node:zlib'
import type { ByteString } from '../protocol/filesystem.ts'
import { ArchiveError } from './archive-error.ts'

/** What a patch says of one file. */
export interface PatchSection {
  /** Null: it is made, or it goes. */
  readonly from: ByteString | null
  readonly to: ByteString | null
  /** Afterwards; null: as it was. */
  readonly mode: string | null
  /** Names of git's objects, or the beginnings of these. */
  readonly oldId: string | null
  readonly newId: string | null
  readonly hunks: readonly Hunk[]
  /** All of it afterwards. */
  readonly binary: Buffer | null
}

export interface Hunk {
  /** The number of the first line that it is about; counted from 1. */
  readonly start: number
  /** Lines as they are and as they become, with their ends; those that stay are in both. */
  readonly removed: readonly ByteString[]
  readonly added: readonly ByteString[]
}

/** @throws {ArchiveError} `damaged`, `unsupported`, `truncated` */
export function* patchSections(patch: ByteString): Generator<PatchSection> {
  const lines = patch.split('\n')
  // What comes before the first section, as the message of a commit, is not about files.
  let at = lines.findIndex((line) => line.startsWith('diff --git '))
  if (at < 0) throw new ArchiveError('unsupported', 'It is no patch of git: nothing in it begins with "diff --git"')
  while (at < lines.length) {
    const { section, next } = sectionAt(lines, at)
    yield section
    for (at = next; at < lines.length && !lines[at]?.startsWith('diff --git '); at++) {
      if (lines[at] !== '' && !isSignature(lines, at)) throw damaged(lines, at)
    }
  }
}

/** Two dashes and a version at the end of what `git format-patch` writes. */
function isSignature(lines: readonly string[], at: number): boolean {
  return lines[at] === '-- ' || lines[at - 1] === '-- '
}

type Head = { -readonly [K in keyof PatchSection]: PatchSection[K] }

function sectionAt(lines: readonly ByteString[], start: number): { section: PatchSection; next: number } {
  const path = headerPath((lines[start] ?? '').slice('diff --git '.length))
  const head: Head = { from: path, to: path, mode: null, oldId: null, newId: null, hunks: [], binary: null }
  const hunks: Hunk[] = []
  let at = start + 1
  for (; at < lines.length; at++) {
    const line = lines[at] ?? ''
    if (line.startsWith('diff --git ')) break
    if (line.startsWith('@@ ')) {
      const { hunk, next } = hunkAt(lines, at)
      hunks.push(hunk)
      at = next - 1
    } else if (line === 'GIT binary patch') {
      const { bytes, next } = binaryAt(lines, at + 1)
      head.binary = bytes
      at = next - 1
    } else if (!note(head, line)) {
      break
    }
  }
  return { section: { ...head, hunks }, next: at }
}

/** Whether it is a line of a section's head, which it then is taken into. */
function note(head: Head, line: ByteString): boolean {
  const [, word, rest = ''] =
    /^(old mode|new mode|new file mode|deleted file mode|similarity index|dissimilarity index|rename from|rename to|copy from|copy to|index|---|\+\+\+) (.*)$/.exec(
      line,
    ) ?? []
  switch (word) {
    case 'new mode':
      head.mode = rest
      return true
    case 'new file mode':
      head.mode = rest
      head.from = null
      return true
    case 'deleted file mode':
      head.to = null
      return true
    case 'rename from':
      head.from = unquoted(rest)
      return true
    case 'rename to':
      head.to = unquoted(rest)
      return true
    case 'copy from':
    case 'copy to':
      throw new ArchiveError('unsupported', 'A patch that copies', unquoted(rest))
    case 'index': {
      const [, oldId, newId] = /^([0-9a-f]{4,40})\.\.([0-9a-f]{4,40})(?: \d+)?$/.exec(rest) ?? []
      head.oldId = oldId ?? null
      head.newId = newId ?? null
      return oldId !== undefined
    }
    case '---':
      if (rest !== '/dev/null' && head.from !== null) head.from = sidePath(rest)
      return true
    case '+++':
      if (rest !== '/dev/null' && head.to !== null) head.to = sidePath(rest)
      return true
    default:
      return word !== undefined
  }
}

/** Of `a/NAME b/NAME`, where both are the same; of others the names follow. */
function headerPath(text: ByteString): ByteString {
  if (text.startsWith('"')) return sidePath(text.slice(0, quotedEnd(text)))
  return text.slice(2, (text.length - 1) / 2)
}

function sidePath(text: ByteString): ByteString {
  const path = unquoted(text.replace(/\t$/, ''))
  return path.slice(path.indexOf('/') + 1)
}

function quotedEnd(text: ByteString): number {
  const end = /^"(?:[^"\\]|\\.)*"/.exec(text)?.[0].length
  if (end === undefined) throw new ArchiveError('damaged', 'A name in quotes that does not end', text)
  return end
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  t: '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
}

function unquoted(text: ByteString): ByteString {
  if (!text.startsWith('"')) return text
  const inner = text.slice(1, quotedEnd(text) - 1)
  return inner.replace(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8) & 0xff) : (ESCAPES[code] ?? code),
  )
}

function hunkAt(lines: readonly ByteString[], start: number): { hunk: Hunk; next: number } {
  const said = /^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(lines[start] ?? '')
  if (said === null) throw damaged(lines, start)
  let [left, right] = [Number(said[2] ?? 1), Number(said[3] ?? 1)]
  const removed: ByteString[] = []
  const added: ByteString[] = []
  let at = start + 1
  for (; left > 0 || right > 0; at++) {
    const line = lines[at]
    const sign = line?.[0]
    if (line === undefined || (sign !== ' ' && sign !== '-' && sign !== '+')) throw damaged(lines, at)
    const unended = lines[at + 1]?.startsWith('\\ ') === true
    const text = `${line.slice(1)}${unended ? '' : '\n'}`
    if (sign !== '+') {
      removed.push(text)
      left--
    }
    if (sign !== '-') {
      added.push(text)
      right--
    }
    if (unended) at++
  }
  if (left < 0 || right < 0) throw damaged(lines, at)
  return { hunk: { start: Number(said[1]), removed, added }, next: at }
}

/** The way forward; the way back follows, and nobody wants it. */
function binaryAt(lines: readonly ByteString[], start: number): { bytes: Buffer; next: number } {
  const forward = literalAt(lines, start)
  const back = literalAt(lines, forward.next)
  return { bytes: forward.bytes, next: back.next }
}

function literalAt(lines: readonly ByteString[], start: number): { bytes: Buffer; next: number } {
  const [, kind, size] = /^(literal|delta) (\d+)$/.exec(lines[start] ?? '') ?? []
  if (kind === 'delta')
    throw new ArchiveError('unsupported', 'A binary part that is a delta: make it with --binary and no delta')
  if (kind === undefined) throw damaged(lines, start)
  const pieces: Buffer[] = []
  let at = start + 1
  for (; lines[at] !== undefined && lines[at] !== ''; at++) pieces.push(decoded(lines, at))
  const want = Number(size)
  if (want > MAX_BINARY_BYTES) throw new ArchiveError('limit', `A binary part of more than ${MAX_BINARY_BYTES} bytes`)
  try {
    // No more than it says can come out.
    const bytes = inflateSync(Buffer.concat(pieces), { maxOutputLength: Math.max(want, 1) })
    if (bytes.length === want) return { bytes, next: at + 1 }
  } catch (error) {
    throw new ArchiveError('damaged', `The binary part in line ${start + 1} cannot be unpacked`, undefined, error)
  }
  throw damaged(lines, start)
}

/** Of one file when it is unpacked, which is in memory. */
const MAX_BINARY_BYTES = 256 * 1024 * 1024

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~'
const DIGITS: ReadonlyMap<string, number> = new Map([...ALPHABET].map((digit, value) => [digit, value]))

/** A letter for the number of bytes, and five digits to the base 85 for each four of them. */
function decoded(lines: readonly ByteString[], at: number): Buffer {
  const line = lines[at] ?? ''
  const letter = line.charCodeAt(0)
  const length = letter >= 97 ? letter - 97 + 27 : letter - 65 + 1
  if (length < 1 || length > 52 || line.length !== 1 + Math.ceil(length / 4) * 5) throw damaged(lines, at)
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4)
  for (let group = 0; group * 4 < length; group++) {
    let value = 0
    for (const digit of line.slice(1 + group * 5, 6 + group * 5)) {
      const number = DIGITS.get(digit)
      if (number === undefined) throw damaged(lines, at)
      value = value * 85 + number
    }
    if (value > 0xffffffff) throw damaged(lines, at)
    bytes.writeUInt32BE(value, group * 4)
  }
  return bytes.subarray(0, length)
}

function damaged(lines: readonly ByteString[], at: number): ArchiveError {
  if (lines[at] === undefined) return new ArchiveError('truncated', 'The patch ends before its end')
  return new ArchiveError('damaged', `Line ${at + 1} of the patch is not what should be there`)
}
