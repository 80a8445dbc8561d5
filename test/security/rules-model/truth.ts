import { type Level, NONE, READ, type Rule, VIEW, WRITE } from '../../../fs-layer/policy/rule.ts'
import type { NodeInfo } from '../../../fs-layer/view/node-info.ts'
import type { ViewHandle } from '../../../fs-layer/worker/api.ts'
import { calls } from '../../fixtures/caller/calls.ts'
import { naiveLevel } from '../../fixtures/naive-level.ts'

/** All that a view holds, as its owner sees it. */
export type Truth = ReadonlyMap<string, Told>

interface Told extends NodeInfo {
  /** Of a file. */
  readonly contents: string
}

export async function truthOf(view: ViewHandle): Promise<Truth> {
  const told = new Map<string, Told>()
  for await (const batch of view.list('', 'owner', true)) {
    for (const info of batch) {
      const chunks: Buffer[] = []
      if (info.kind === 'file') for await (const chunk of view.read(info.path, 'owner', 0)) chunks.push(chunk)
      told.set(info.path, { ...info, contents: Buffer.concat(chunks).toString('latin1') })
    }
  }
  return told
}

/** What the rules let be seen of it: names, and contents or the error that they give. */
export function visibleOf(truth: Truth, rules: readonly Rule[]): Map<string, string> {
  const levels = new Map([...truth.keys()].map((path) => [path, naiveLevel(rules, path)]))
  const isVisible = (path: string) =>
    (levels.get(path) ?? NONE) >= VIEW ||
    [...levels].some(([below, level]) => below.startsWith(`${path}/`) && level >= VIEW)
  const seen = new Map<string, string>()
  for (const [path, told] of truth) {
    if (!isVisible(path)) continue
    const content = told.kind === 'file' ? withoutEnd(told.contents) : (told.target ?? '')
    const needsReading = told.kind === 'file' || told.kind === 'symlink'
    seen.set(path, needsReading && (levels.get(path) ?? NONE) < READ ? 'EACCES' : `${told.kind} ${content}`)
  }
  return seen
}

/**
 * The same, as root finds it in the mount, where `wanted` is what it should find. An empty file shows that it is, whatever
 * its level: the kernel asks nobody for what is in it.
 */
export function seenIn(root: string, wanted: ReadonlyMap<string, string>): Map<string, string> {
  const seen = walk(root, '', new Map())
  for (const [path, what] of seen) if (what === 'file ' && wanted.get(path) === 'EACCES') seen.set(path, 'EACCES')
  return seen
}

function walk(root: string, prefix: string, seen: Map<string, string>): Map<string, string> {
  for (const name of calls.readdir(`${root}/${prefix}`)) {
    const path = prefix + name
    const at = `${root}/${path}`
    seen.set(
      path,
      orErrno(() => `${KINDS.get(calls.lstat(at).mode & 0o170000)} `),
    )
    const kind = seen.get(path)?.trimEnd()
    if (kind === 'directory') walk(root, `${path}/`, seen)
    else if (kind === 'file')
      seen.set(
        path,
        orErrno(() => `${kind} ${withoutEnd(calls.readFile(at))}`),
      )
    else if (kind === 'symlink')
      seen.set(
        path,
        orErrno(() => `${kind} ${calls.readlink(at)}`),
      )
  }
  return seen
}

const KINDS = new Map<number, NodeInfo['kind']>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
])

/** Inodes with the highest level that one of their names has, below `write`. */
export function restrictedOf(truth: Truth, rules: readonly Rule[]): Map<number, { level: Level; told: Told }> {
  const found = new Map<number, { level: Level; told: Told }>()
  for (const [path, told] of truth) {
    const level = Math.max(naiveLevel(rules, path), found.get(told.ino)?.level ?? NONE) as Level
    found.set(told.ino, { level, told })
  }
  for (const [ino, { level }] of found) if (level === WRITE) found.delete(ino)
  return found
}

/** What a program may have done to what it may not change, from one truth to the next under the same rules. */
export function faultsBetween(before: Truth, after: Truth, rules: readonly Rule[]): string[] {
  const [old, now] = [restrictedOf(before, rules), restrictedOf(after, rules)]
  const all = new Map([...after.values()].map((told) => [told.ino, told]))
  const visible = visibleOf(before, rules)
  const faults: string[] = []
  for (const [ino, { level, told }] of old) {
    const still = now.get(ino)
    // What is hidden may go out of sight with its directory; the owner still has it.
    if (all.get(ino) === undefined && visible.has(told.path)) faults.push(`${told.path} is gone`)
    if (all.get(ino) !== undefined && still === undefined) faults.push(`${told.path} can be written now`)
    if (still === undefined) continue
    if (still.level > level) faults.push(`${told.path} rose at ${still.told.path}`)
    if (shown(told) !== shown(still.told)) faults.push(`${told.path} has changed`)
  }
  for (const [ino, { told }] of now) {
    if (!old.has(ino)) faults.push(`${told.path} has come to where nothing may be made`)
  }
  return faults
}

/** Names come and go in a directory that is restricted itself, and leave their time. */
function shown({ kind, size, mode, mtime, mtimeNsec, contents, target }: Told): string {
  return JSON.stringify([kind, mode, target, contents, kind === 'directory' ? 0 : [size, mtime, mtimeNsec]])
}

/**
 * Where the kernel gathers writes, one that is refused when it is sent, because the rules have changed since the file was
 * opened, leaves the kernel with the size that it would have made (ADR 11), and zeros.
 */
function withoutEnd(contents: string): string {
  return contents.replace(/\0+$/, '')
}

/** A refused read is EIO where the kernel has a part of the page, from a write that it gathered and that was refused. */
function orErrno(call: () => string): string {
  try {
    return call()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    return code === 'EIO' ? 'EACCES' : code
  }
}
