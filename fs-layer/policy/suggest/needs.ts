import type { ByteString } from '../../protocol/filesystem.ts'
import type { PathState } from '../path-state.ts'
import type { Policy } from '../policy.ts'
import { type Level, NONE, READ, VIEW, WRITE } from '../rule.ts'
import { joinPath, type Place } from './place.ts'

/** What a run did with a path, as levels. */
export interface PathUse {
  /** From the root, names separated by `/`. */
  readonly path: ByteString
  readonly isDirectory: boolean
  /** What it took: VIEW to look at it, READ, WRITE. */
  readonly level: Level
  /** Everything below was used at this level too: a directory that moved, or uses whose names are not known. */
  readonly levelBelow: Level
  /** Of what is below, the names are not known. */
  readonly unnamed: boolean
  /** Its names were listed. */
  readonly listed: boolean
  /** It was made and did not stay: its name may be another one the next time. */
  readonly passing: boolean
}

/** A path that was used, or that leads to one. */
export interface Need {
  readonly name: ByteString
  readonly path: ByteString
  /** What the codebase has there; null for what the run made. */
  readonly place: Place | null
  isDirectory: boolean
  level: Level
  levelBelow: Level
  passing: boolean
  readonly children: Map<ByteString, Need>
}

/**
 * The tree of what a run needed. Beside what was done itself, all that a listing showed was seen: the kernel got the
 * attributes with the names, and does not say which of them were wanted. A file without contents is read without
 * asking anybody, so whoever needs to see one needs to read it.
 */
export function needsOf(uses: Iterable<PathUse>, root: Place, before: Policy): Need {
  const top = newNeed('', '', root)
  const listed: Need[] = []
  for (const use of uses) {
    const need = use.path.split('/').reduce((at, name) => (name === '' ? at : childOf(at, name)), top)
    need.isDirectory ||= use.isDirectory
    need.level = higher(need.level, use.level)
    need.levelBelow = higher(need.levelBelow, use.levelBelow)
    need.passing ||= use.passing && need.place === null
    if (use.listed) listed.push(need)
  }
  for (const directory of listed) seeAll(directory, stateAt(before, directory.path), before)
  for (const child of top.children.values()) settle(child, before.step(before.root, child.name), before)
  return top
}

function seeAll(directory: Need, state: PathState, before: Policy): void {
  for (const { name } of entriesOf(directory)) {
    const shown = before.step(state, name)
    if (shown.level < VIEW) continue
    const child = childOf(directory, name)
    child.level = higher(child.level, VIEW)
  }
}

function settle(need: Need, state: PathState, before: Policy): void {
  if (need.level === VIEW) {
    if (need.place?.isEmpty && state.level >= READ) need.level = READ
    // It was there for what is in it, and will be.
    if (need.isDirectory && state.level === NONE) need.level = NONE
  }
  for (const child of need.children.values()) settle(child, before.step(state, child.name), before)
}

function stateAt(policy: Policy, path: ByteString): PathState {
  return path.split('/').reduce((state, name) => (name === '' ? state : policy.step(state, name)), policy.root)
}

function childOf(parent: Need, name: ByteString): Need {
  let child = parent.children.get(name)
  if (child === undefined) {
    const place = placesOf(parent).get(name) ?? null
    child = newNeed(name, joinPath(parent.path, name), place)
    parent.isDirectory = true
    parent.children.set(name, child)
  }
  return child
}

const places = new WeakMap<Need, ReadonlyMap<ByteString, Place>>()

function placesOf(need: Need): ReadonlyMap<ByteString, Place> {
  let known = places.get(need)
  if (known === undefined) {
    known = new Map(entriesOf(need).map((place) => [place.name, place]))
    places.set(need, known)
  }
  return known
}

export function entriesOf({ place }: Need): readonly Place[] {
  return place?.isDirectory ? place.entries() : []
}

function newNeed(name: ByteString, path: ByteString, place: Place | null): Need {
  const isDirectory = place?.isDirectory ?? false
  return { name, path, place, isDirectory, level: NONE, levelBelow: NONE, passing: false, children: new Map() }
}

export function higher(a: Level, b: Level): Level {
  return a > b ? a : b
}

/** The highest level below a directory, but for what was written. */
export function highestReadBelow(need: Need): Level {
  let highest: Level = need.levelBelow === WRITE ? NONE : need.levelBelow
  for (const child of need.children.values()) {
    if (child.level < WRITE) highest = higher(highest, child.level)
    highest = higher(highest, highestReadBelow(child))
  }
  return highest
}
