import type { FileHandle } from 'node:fs/promises'
import { posix } from 'node:path'
import { MAX_ARCHIVE_ENTRIES } from '../limits.ts'

/** Where a member's bytes are in the archive. */
export interface Member {
  readonly at: number
  readonly bytes: number
}

const BLOCK = 512
/** Of what a header of an extended kind says; names are far shorter. */
const MAX_EXTENDED_BYTES = 64 << 10

/**
 * The regular files of a tar archive, by name, without a look at what is in them: POSIX.1-2017 (pax), ustar and GNU's
 * long names. Nothing is unpacked, so a name is only a name. A link stands for the member that it names.
 */
export async function indexTar(file: FileHandle): Promise<ReadonlyMap<string, Member>> {
  const { size } = await file.stat()
  const members = new Map<string, Member>()
  const links = new Map<string, string>()
  let extended: { path?: string; linkpath?: string; size?: number } = {}
  let entries = 0
  for (let at = 0; at + BLOCK <= size; ) {
    const header = await read(file, at, BLOCK)
    if (header.every((byte) => byte === 0)) break
    if (!isHeader(header)) throw new Error(at === 0 ? notTar(header) : 'is damaged: what should be a header is none')
    entries += 1
    if (entries > MAX_ARCHIVE_ENTRIES) throw new Error(`has more than ${MAX_ARCHIVE_ENTRIES} members`)
    const kind = String.fromCharCode(header[156] ?? 0)
    const bytes = (kind === 'x' ? undefined : extended.size) ?? number(header, 124, 12)
    const body = at + BLOCK
    if (!Number.isSafeInteger(bytes) || body + bytes > size) throw new Error('is cut short')
    at = body + Math.ceil(bytes / BLOCK) * BLOCK
    if (kind === 'x') extended = { ...extended, ...paxOf(await small(file, body, bytes)) }
    else if (kind === 'L') extended = { ...extended, path: text(await small(file, body, bytes)) }
    else if (kind === 'K') extended = { ...extended, linkpath: text(await small(file, body, bytes)) }
    else if (kind !== 'g') {
      const name = plainName(extended.path ?? nameIn(header))
      if (kind === '0' || kind === '\0' || kind === '7') members.set(name, { at: body, bytes })
      else if (kind === '1') links.set(name, plainName(extended.linkpath ?? text(header.subarray(157, 257))))
      else if (kind === '2') {
        const target = extended.linkpath ?? text(header.subarray(157, 257))
        links.set(name, plainName(posix.join(posix.dirname(name), target)))
      }
      extended = {}
    }
  }
  for (const [name, target] of links) {
    const member = members.get(target)
    if (member !== undefined && !members.has(name)) members.set(name, member)
  }
  return members
}

/** As other members name it: no `./` before, no `/` at either end. */
export function plainName(name: string): string {
  return posix.normalize(`/${name}`).replace(/^\/+|\/+$/g, '')
}

function nameIn(header: Buffer): string {
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? text(header.subarray(345, 500)) : ''
  return `${prefix}/${text(header.subarray(0, 100))}`
}

function isHeader(header: Buffer): boolean {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0)
  return number(header, 148, 8) === sum
}

function notTar(header: Buffer): string {
  const isGzip = header[0] === 0x1f && header[1] === 0x8b
  return isGzip ? 'is compressed as a whole: gunzip it first' : 'is no tar archive'
}

/** Octal, or binary where the first bit is set. */
function number(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length)
  if (((field[0] ?? 0) & 0x80) === 0) {
    const digits = text(field).trim()
    return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
  }
  return field.reduce((value, byte, index) => value * 256 + (index === 0 ? byte & 0x7f : byte), 0)
}

/** Records of `LENGTH KEY=VALUE\n`. */
function paxOf(records: Buffer): { path?: string; linkpath?: string; size?: number } {
  const found: { path?: string; linkpath?: string; size?: number } = {}
  for (let at = 0; at < records.length; ) {
    const length = Number.parseInt(records.toString('latin1', at, at + 20), 10)
    if (!(length > 0) || at + length > records.length) throw new Error('is damaged: a record of a header has no end')
    const [key = '', ...value] = records
      .toString('utf8', at, at + length - 1)
      .replace(/^\d+ /, '')
      .split('=')
    if (key === 'path' || key === 'linkpath') found[key] = value.join('=')
    if (key === 'size') found.size = Number(value.join('='))
    at += length
  }
  return found
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}

async function small(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  if (bytes > MAX_EXTENDED_BYTES) throw new Error(`has a header of more than ${MAX_EXTENDED_BYTES} bytes`)
  return read(file, at, bytes)
}

/** Rejects where there are not so many. */
export async function read(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done)
    if (bytesRead === 0) throw new Error('is cut short')
    done += bytesRead
  }
  return buffer
}
