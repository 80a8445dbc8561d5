import { createHash } from 'node:crypto'
import type { ByteString } from '../protocol/filesystem.ts'
import type { FileEntry, SymlinkEntry } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import type { TreeChange } from './changes-between.ts'
import { binaryHunk } from './git-binary.ts'
import { gitHeaderPath, gitPath } from './git-path.ts'
import { TEXT_MAX_BYTES } from './limits.ts'
import { modeOf } from './patch-mode.ts'
import { type Section, sections } from './sections.ts'
import { textHunks } from './text-hunks.ts'

/**
 * Changes as a patch for `git apply`, and where all of them are texts for patch(1). What is no text, or a text over
 * `TEXT_MAX_BYTES`, is in git's binary form. Memory is bounded whatever the sizes.
 *
 * A patch has no directories, and of modes only whether a file can be executed. What git itself refuses to be told of,
 * `.git`, is left out.
 */
export async function* patchOf(
  store: Store,
  changes: readonly TreeChange[],
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  for (const section of sections(store, changes)) {
    signal?.throwIfAborted()
    yield* sectionText(store, section)
  }
}

async function* sectionText(store: Store, section: Section): AsyncGenerator<Buffer> {
  const { path, from, before, after } = section
  const lines = [`diff --git ${gitPath(`a/${from}`)} ${gitPath(`b/${path}`)}`, ...modeLines(before, after)]
  if (from !== path) {
    lines.push(`similarity index ${section.similarity}%`, `rename from ${gitPath(from)}`, `rename to ${gitPath(path)}`)
  }
  if (before !== null && after !== null && contentsOf(before) === contentsOf(after)) {
    yield bytesOf(lines)
    return
  }
  const [old, now] = [await read(store, before), await read(store, after)]
  const mode = before !== null && after !== null && modeOf(before) === modeOf(after) ? ` ${modeOf(after)}` : ''
  lines.push(`index ${old.id}..${now.id}${mode}`)
  if (old.text !== null && now.text !== null) {
    const hunks = textHunks(old.text, now.text)
    if (hunks !== '') lines.push(`--- ${nameLine('a', from, before)}`, `+++ ${nameLine('b', path, after)}`)
    yield Buffer.concat([bytesOf(lines), Buffer.from(hunks, 'latin1')])
    return
  }
  yield bytesOf([...lines, 'GIT binary patch'])
  yield* binaryHunk(now.size, now.bytes())
  yield* binaryHunk(old.size, old.bytes())
}

function modeLines(before: Section['before'], after: Section['after']): string[] {
  if (before === null) return after === null ? [] : [`new file mode ${modeOf(after)}`]
  if (after === null) return [`deleted file mode ${modeOf(before)}`]
  return modeOf(before) === modeOf(after) ? [] : [`old mode ${modeOf(before)}`, `new mode ${modeOf(after)}`]
}

function nameLine(side: 'a' | 'b', path: ByteString, entry: Section['before']): string {
  return entry === null ? '/dev/null' : gitHeaderPath(`${side}/${path}`)
}

function contentsOf(entry: FileEntry | SymlinkEntry): string {
  return entry.kind === 'symlink' ? `to ${entry.target}` : entry.hash
}

interface Contents {
  /** git's name of it. */
  readonly id: string
  readonly size: number
  /** As a byte string; null where it is none, or too long. */
  readonly text: string | null
  bytes(): AsyncIterable<Buffer>
}

const NOTHING: Contents = { id: '0'.repeat(40), size: 0, text: '', bytes: () => pieces([]) }
/** So much of a file decides, as for git, whether it is a text: one that has no NUL there. */
const TEXT_PROBE_BYTES = 8000

async function read(store: Store, entry: Section['before']): Promise<Contents> {
  if (entry === null) return NOTHING
  if (entry.kind === 'symlink') {
    const target = Buffer.from(entry.target, 'latin1')
    const id = idHash(target.length).update(target).digest('hex')
    return { id, size: target.length, text: entry.target, bytes: () => pieces([target]) }
  }
  const { hash, size } = entry
  const id = idHash(size)
  const kept: Buffer[] = []
  for await (const chunk of store.readFile(hash)) {
    id.update(chunk)
    if (size <= TEXT_MAX_BYTES) kept.push(chunk)
  }
  const whole = Buffer.concat(kept)
  const isText = size <= TEXT_MAX_BYTES && !whole.subarray(0, TEXT_PROBE_BYTES).includes(0)
  return {
    id: id.digest('hex'),
    size,
    text: isText ? whole.toString('latin1') : null,
    bytes: () => store.readFile(hash),
  }
}

/** git's objects are named by SHA-1 of a header and the contents. */
function idHash(size: number) {
  return createHash('sha1').update(`blob ${size}\0`)
}

async function* pieces(buffers: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* buffers
}

function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1')
}
