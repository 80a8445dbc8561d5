import { createHash } from 'node:crypto'
import { isGitsOwn } from '../diff/git-path.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { Hash, Root } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import { BlobUpload } from '../store/upload.ts'
import { ArchiveError } from './archive-error.ts'
import { DraftTree, type Leaf } from './draft-tree.ts'
import { safePath } from './intake.ts'
import type { Meter } from './meter.ts'
import { type PatchSection, patchSections } from './read-patch.ts'

export interface PatchOptions {
  readonly base: Hash
  readonly maxEntries: number
  readonly meter: Meter
  /** Seconds since 1970, for the files that the patch changes: it has no times. */
  readonly mtime: number
}

/**
 * The version that a patch of git makes of another. Nothing is guessed: what is to be changed has to be what the patch
 * says, line by line and by the names of objects, where it has them.
 *
 * @throws {ArchiveError} with the path
 */
export async function applyPatch(
  patch: ByteString,
  options: PatchOptions,
  { store }: { store: Store },
): Promise<{ hash: Hash; root: Root }> {
  await using upload = new BlobUpload({}, { store })
  const tree = new DraftTree(options, { store })
  // All that is there before is read before anything changes: two files may have changed places.
  const steps: Step[] = []
  for (const section of patchSections(patch)) {
    const [from, to] = [checkedPath(section.from), checkedPath(section.to)]
    options.meter.entry(to ?? from ?? '')
    const before = from === null ? null : tree.leafAt(from)
    if (from !== null && before === null)
      throw new ArchiveError('conflict', 'The patch changes what is not there', from)
    const leaf = await leafOf({ ...section, from, to }, before, options, { store, upload })
    steps.push({ from, to, leaf })
  }
  for (const { from } of steps) if (from !== null) tree.remove(from)
  for (const { from, to, leaf } of steps) {
    if (to === null || leaf === null) continue
    if (from !== to && tree.leafAt(to) !== null)
      throw new ArchiveError('conflict', 'The patch makes what is there already', to)
    tree.placeLeaf(to, leaf)
  }
  await upload.commit()
  return await tree.finish()
}

interface Step {
  readonly from: ByteString | null
  readonly to: ByteString | null
  readonly leaf: Leaf | null
}

/** What stands there afterwards; null: nothing. */
async function leafOf(
  section: PatchSection,
  before: Leaf | null,
  { meter, mtime }: PatchOptions,
  { store, upload }: { store: Store; upload: BlobUpload },
): Promise<Leaf | null> {
  const { from, to, hunks, binary } = section
  const where = to ?? from ?? ''
  const attributes = { mode: modeOf(section, before), mtime, mtimeNsec: 0 }
  if (
    hunks.length === 0 &&
    binary === null &&
    before !== null &&
    to !== null &&
    isLink(section, before) === (before.kind === 'symlink')
  ) {
    return before.kind === 'symlink' ? before : { ...before, mode: attributes.mode }
  }
  const old = before === null ? null : await contentsOf(store, before, meter)
  checkId(section.oldId, old, where)
  const now = changed(section, old ?? Buffer.alloc(0), where)
  if (to === null) {
    if (now.length > 0) throw new ArchiveError('conflict', 'The patch deletes less than is in the file', where)
    return null
  }
  checkId(section.newId, now, where)
  meter.unpacked(now.length, to)
  if (isLink(section, before)) {
    return { kind: 'symlink', mode: 0o777, mtime, mtimeNsec: 0, target: now.toString('latin1') }
  }
  return { kind: 'file', ...attributes, ...(await upload.addBytes({}, now)) }
}

function checkedPath(raw: ByteString | null): ByteString | null {
  if (raw === null) return null
  const path = safePath(raw, 'name')
  if (path === '') throw new ArchiveError('unsafe', 'A name that is none', raw)
  if (isGitsOwn(path)) throw new ArchiveError('unsafe', "A name of git's own", raw)
  return path
}

async function contentsOf(store: Store, leaf: Leaf, meter: Meter): Promise<Buffer> {
  if (leaf.kind === 'symlink') return Buffer.from(leaf.target, 'latin1')
  if (leaf.size > MAX_CHANGED_BYTES)
    throw new ArchiveError('limit', `A file of more than ${MAX_CHANGED_BYTES} bytes is changed`)
  meter.unpacked(leaf.size)
  const chunks: Buffer[] = []
  for await (const chunk of store.readFile(leaf.hash)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** One file is changed in memory. */
const MAX_CHANGED_BYTES = 256 * 1024 * 1024

/** As git names it; a patch may have the beginning only, and zeros for what is not there. */
function checkId(id: string | null, contents: Buffer | null, path: ByteString): void {
  if (id === null) return
  const real =
    contents === null
      ? '0'.repeat(40)
      : createHash('sha1').update(`blob ${contents.length}\0`).update(contents).digest('hex')
  if (!real.startsWith(id)) throw new ArchiveError('conflict', 'The patch is of another file than this', path)
}

function changed({ binary, hunks }: PatchSection, old: Buffer, path: ByteString): Buffer {
  if (binary !== null) return binary
  if (hunks.length === 0) return old
  const lines = linesOf(old.toString('latin1'))
  const result: ByteString[] = []
  let at = 0
  for (const { start, removed, added } of hunks) {
    // Of a hunk that removes nothing the line before it is told.
    const begin = removed.length === 0 ? start : start - 1
    if (begin < at || begin > lines.length) throw new ArchiveError('conflict', 'Lines that are not there', path)
    result.push(...lines.slice(at, begin))
    removed.forEach((line, index) => {
      if (lines[begin + index] !== line)
        throw new ArchiveError('conflict', `Line ${begin + index + 1} is another`, path)
    })
    result.push(...added)
    at = begin + removed.length
  }
  return Buffer.from([...result, ...lines.slice(at)].join(''), 'latin1')
}

/** Each with its end; the last one may have none. */
function linesOf(text: ByteString): ByteString[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function isLink({ mode }: PatchSection, before: Leaf | null): boolean {
  return mode === null ? before?.kind === 'symlink' : mode === '120000'
}

/** Of bits a patch knows whether a file is a program; where that stays, all stay. */
function modeOf({ mode }: PatchSection, before: Leaf | null): number {
  const isProgram = mode === '100755'
  if (before?.kind === 'file' && (mode === null || ((before.mode & 0o100) !== 0) === isProgram)) return before.mode
  return isProgram ? 0o755 : 0o644
}
