import type { ByteString } from '../../protocol/filesystem.ts'
import { LEVEL_NAMES, type Level, NONE, READ, type Rule, VIEW, WRITE } from '../rule.ts'
import { entriesOf, higher, highestReadBelow, type Need } from './needs.ts'
import type { Place } from './place.ts'
import { anyChildOf, anythingBelow, patternsFor, type Shape } from './write-pattern.ts'

export interface CoverOptions {
  /** Directories that were only passed through or looked at, and show by what is in them, have no rule. */
  readonly bareDirectories: boolean
  /** Directories so deep have one level for all that was not written in them. */
  readonly coarseDepth: number
}

export interface Cover {
  readonly rules: readonly Rule[]
  /** Directories of which more is allowed than was used, and what. */
  readonly coarse: readonly { readonly path: ByteString; readonly level: Level }[]
  /** Directories in which names that are not there yet are allowed something. */
  readonly open: readonly ByteString[]
}

/**
 * Rules that give each path what it needs, and every other entry of the codebase nothing.
 *
 * All of them are globs of the same priority, so of two that match the one with the longer literal beginning decides:
 * what is said of a directory holds for all below it that nothing nearer speaks of. One rule stands for a directory of
 * which all was used at one level, names in one directory with the same rule share a pattern.
 */
export function cover(top: Need, options: CoverOptions): Cover {
  const rules: Rule[] = []
  const coarse: { path: ByteString; level: Level }[] = []
  const open: ByteString[] = []
  const below = coverBelow(top, { inherited: NONE, given: null, depth: 0 })
  if (below !== null) rules.push(rule(anythingBelow(''), below))
  return { rules, coarse, open }

  /** Returns the level for what is below and not spoken of, where it is another one than is handed down. */
  function coverBelow(directory: Need, from: Above): Level | null {
    const isPassing = hasPassing(directory)
    const given = isPassing ? passingGiven(directory) : givenBelow(directory, from)
    const base = given ?? (isPassing ? WRITE : NONE)
    const eachChild = base === NONE ? mostChildren(directory) : null
    const groups = new Groups(directory.path)
    const within = { base, self: eachChild ?? base, given, groups, depth: from.depth }
    for (const place of entriesOf(directory)) coverEntry(place, directory.children.get(place.name), within)
    for (const need of directory.children.values()) if (need.place === null) coverNew(need, within)
    if (eachChild !== null) rules.push(rule(anyChildOf(directory.path), eachChild))
    if (base > NONE || eachChild !== null) open.push(directory.path)
    rules.push(...groups.rules())
    return base === from.inherited ? null : base
  }

  /** The level of everything that the codebase has below, whether it was used or not. */
  function givenBelow(directory: Need, { given, depth }: Above): Level | null {
    const own = higher(uniformBelow(directory) ?? NONE, directory.levelBelow)
    if (given !== null || own > NONE) return higher(given ?? NONE, own)
    if (depth < options.coarseDepth) return null
    const level = highestReadBelow(directory)
    if (level === NONE) return null
    coarse.push({ path: directory.path, level })
    return level
  }

  /** Beside new names that may be written, what is there must be spoken of: unless all of it may be written too. */
  function passingGiven(directory: Need): Level | null {
    return directory.levelBelow === WRITE || uniformBelow(directory) === WRITE ? WRITE : null
  }

  function coverEntry(place: Place, need: Need | undefined, within: Within): void {
    const { base, self, given, groups } = within
    if (need === undefined) {
      if (given !== null) return
      if (place.isDirectory && base > NONE) groups.add(NONE, 'tree', place.name)
      else if (self > NONE) groups.add(NONE, 'self', place.name)
      return
    }
    const below = place.isDirectory ? coverBelow(need, beneath(within)) : null
    const wanted = place.isDirectory ? levelOfDirectory(need, below, self) : need.level
    const level = given === null ? wanted : higher(wanted, self)
    if (below !== null && below === level) {
      groups.add(level, 'tree', need.name)
      return
    }
    if (below !== null) groups.add(below, 'below', need.name)
    if (level !== self) groups.add(level, 'self', need.name)
  }

  /** Reading a directory takes no more than seeing it. */
  function levelOfDirectory(need: Need, below: Level | null, self: Level): Level {
    if (need.level === VIEW && (below === READ || (below === null && self === READ))) return READ
    const showsAnyway = options.bareDirectories && self === NONE && (below ?? NONE) === NONE && hasNeeded(need)
    return need.level === VIEW && showsAnyway ? NONE : need.level
  }

  function coverNew(need: Need, within: Within): void {
    const { base, self, groups } = within
    if (need.level === WRITE) {
      if (base === WRITE) return
      groups.add(WRITE, need.isDirectory ? 'tree' : 'self', need.name)
      if (need.isDirectory) open.push(need.path)
      return
    }
    const below = need.children.size > 0 ? coverBelow(need, beneath(within)) : null
    if (below !== null) groups.add(below, 'below', need.name)
    if (need.level > self) groups.add(need.level, 'self', need.name)
  }
}

/** What the rules further up say of all that is below a directory. */
interface Above {
  readonly inherited: Level
  /** It holds for entries that nobody used, too. */
  readonly given: Level | null
  readonly depth: number
}

function beneath({ base, given, depth }: Within): Above {
  return { inherited: base, given, depth: depth + 1 }
}

interface Within {
  /** What holds for all below the directory that nothing nearer speaks of. */
  readonly base: Level
  /** The same, of the entries in it. */
  readonly self: Level
  /** The same level, where entries that nobody used have it too. */
  readonly given: Level | null
  readonly groups: Groups
  readonly depth: number
}

/** Names of one directory by what is said of them. */
class Groups {
  readonly #directory: ByteString
  readonly #names = new Map<string, { level: Level; shape: Shape; names: ByteString[] }>()

  constructor(directory: ByteString) {
    this.#directory = directory
  }

  add(level: Level, shape: Shape, name: ByteString): void {
    const key = `${level} ${shape}`
    let group = this.#names.get(key)
    if (group === undefined) {
      group = { level, shape, names: [] }
      this.#names.set(key, group)
    }
    group.names.push(name)
  }

  *rules(): Generator<Rule> {
    for (const { level, shape, names } of this.#names.values()) {
      for (const pattern of patternsFor(this.#directory, names, shape)) yield rule(pattern, level)
    }
  }
}

function rule(pattern: string, level: Level): Rule {
  return { pattern, type: 'glob', level: LEVEL_NAMES[level] }
}

/** Something made there did not stay: another name is to be expected the next time. */
function hasPassing(directory: Need): boolean {
  for (const child of directory.children.values()) if (child.passing && child.level === WRITE) return true
  return false
}

function hasNeeded(need: Need): boolean {
  for (const child of need.children.values()) {
    if (child.place !== null && (child.level > NONE || hasNeeded(child))) return true
  }
  return false
}

/** What most of the entries need, where each of them was used. */
function mostChildren(directory: Need): Level | null {
  const counts = [0, 0, 0]
  const entries = entriesOf(directory)
  if (entries.length < 2) return null
  for (const { name } of entries) {
    const level = directory.children.get(name)?.level ?? NONE
    if (level === NONE) return null
    if (level < WRITE) counts[level] = (counts[level] ?? 0) + 1
  }
  const [, view = 0, read = 0] = counts
  if (view + read < 2) return null
  return read > view ? READ : VIEW
}

const uniforms = new WeakMap<Need, { readonly level: Level | null }>()

/**
 * The one level at which everything that the codebase has below was used; null where there is none. Of a directory
 * seeing and reading are the same.
 */
function uniformBelow(directory: Need): Level | null {
  let known = uniforms.get(directory)
  if (known === undefined) {
    known = { level: findUniform(directory) }
    uniforms.set(directory, known)
  }
  return known.level
}

function findUniform(directory: Need): Level | null {
  const entries = entriesOf(directory)
  if (entries.length === 0) return null
  const found = new Set<Level>()
  let isSeen = false
  let isChanged = false
  for (const place of entries) {
    const need = directory.children.get(place.name)
    if (need === undefined || need.level === NONE) return null
    if (!place.isDirectory) {
      found.add(need.level)
      continue
    }
    if (need.level === WRITE) isChanged = true
    else isSeen = true
    if (place.entries().length === 0) continue
    const below = need.levelBelow > NONE ? need.levelBelow : uniformBelow(need)
    if (below === null) return null
    found.add(below)
  }
  if (found.size === 0) found.add(isChanged ? WRITE : VIEW)
  const [level = NONE] = found
  const fits = level === WRITE ? !isSeen : !isChanged
  return found.size === 1 && fits ? level : null
}
