import type { ByteString } from '../protocol/filesystem.ts'
import type { PathPattern } from './glob.ts'
import { MAX_CACHED_WORDS } from './limits.ts'
import type { NameGlob } from './name-glob.ts'
import { NameIndex, type Signature } from './name-index.ts'
import type { PathState } from './path-state.ts'
import { type Level, NONE, READ, VIEW, WRITE } from './rule.ts'

/** A pattern without braces, and the level it gives. */
export interface Branch {
  readonly path: PathPattern
  readonly level: Level
}

/**
 * All patterns of a policy run at once over the names of a path, as a nondeterministic automaton whose sets of
 * active positions are the states. A pattern of n names has positions 0 to n: position k has matched k names
 * and waits for the next. Positions are numbered through all branches, strongest branch first, so among the
 * positions that match a path the lowest number wins.
 *
 * Most positions of a set never matter, and are left out, so that few states stand for all directories:
 * - Where a position matches all that lies below, no weaker one can ever win there. It is the floor; of the
 *   floor only its level is kept, for whatever else is in the state is stronger.
 * - The weakest position left, if it has the floor's own level, changes nothing whether it matches or not.
 */
export class Automaton {
  readonly root: State
  readonly #positions: readonly Position[]
  readonly #names: NameIndex
  readonly #uniform: readonly State[]
  #states = new Map<string, State>()
  #transitions = new Map<State, Map<Signature, State>>()
  #words = 0

  /** `branches`: the strongest first. */
  constructor(branches: readonly Branch[]) {
    const globs = new Map<string, { number: number; glob: NameGlob }>()
    this.#positions = branches.flatMap((branch) => positionsOf(branch, globs))
    this.#names = new NameIndex(Array.from(globs.values(), ({ glob }) => glob))
    this.#uniform = LEVELS.map((level) => this.#makeState(level, level, []))
    const starts = this.#positions.flatMap((position, number) => (position.isStart ? [number] : []))
    this.root = this.#stateOf(starts, NONE)
  }

  /** The state of the entry `name` of a directory in `state`. */
  step(state: PathState, name: ByteString): PathState {
    const from = this.#own(state)
    if (from.waiting.length === 0) return this.#uniformState(from.floor)
    const signature = this.#names.signatureOf(name)
    return this.#transitions.get(from)?.get(signature) ?? this.#learn(from, signature)
  }

  /**
   * Whether something could have a higher level in `to` than at the same place under `from`. `never` is
   * certain; `maybe` says only that the rules do not exclude it.
   */
  mayRaise(from: PathState, to: PathState): 'never' | 'maybe' {
    const before = this.#own(from)
    const after = this.#own(to)
    if (before === after) return 'never'
    if (after.level > before.level || after.floor > before.floor) return 'maybe'
    return this.#mayRaiseBelow(before, after) ? 'maybe' : 'never'
  }

  /** About how many numbers and references are remembered; stays near `MAX_CACHED_WORDS`. */
  get words(): number {
    return this.#words + this.#names.words
  }

  // Positions that both have match alike on both sides. From the weakest up: one that only `after` has must not
  // give more than whatever it may win over gave `before`, and one that only `before` had must not have held
  // down what is set free `after`.
  #mayRaiseBelow(before: State, after: State): boolean {
    let lowestBefore: Level = before.floor
    let highestAfter: Level = after.floor
    let left = before.waiting.length - 1
    let right = after.waiting.length - 1
    while (left >= 0 || right >= 0) {
      const old = before.waiting[left] ?? -1
      const now = after.waiting[right] ?? -1
      const level = this.#position(Math.max(old, now)).level
      if (now > old && level > lowestBefore) return true
      if (old > now && level < highestAfter) return true
      if (old >= now) {
        left -= 1
        if (level < lowestBefore) lowestBefore = level
      }
      if (now >= old) {
        right -= 1
        if (level > highestAfter) highestAfter = level
      }
    }
    return false
  }

  #own(state: PathState): State {
    if (state instanceof State && state.owner === this) return state
    throw new TypeError('The state is of another policy')
  }

  #learn(from: State, signature: Signature): State {
    if (this.words > MAX_CACHED_WORDS) {
      this.#forget()
      // The signature at hand is forgotten with the others: it must not become a key again.
      return this.#advance(from, signature)
    }
    const next = this.#advance(from, signature)
    const known = this.#transitions.get(from)
    if (known === undefined) this.#transitions.set(from, new Map([[signature, next]]))
    else known.set(signature, next)
    this.#words += 1
    return next
  }

  #advance(from: State, signature: Signature): State {
    const active: number[] = []
    for (const number of from.waiting) {
      const { floating, glob } = this.#position(number)
      if (floating && active.at(-1) !== number) active.push(number)
      if (glob === ANY || signature.matched.has(glob)) active.push(number + 1)
    }
    return this.#stateOf(active, from.floor)
  }

  /** `active` is sorted; `inherited` is the level of the state where nothing active matches. */
  #stateOf(active: readonly number[], inherited: Level): State {
    const match = active.find((number) => this.#position(number).isEnd)
    const level = match === undefined ? inherited : this.#position(match).level
    const ground = active.findIndex((number) => this.#position(number).takesAllBelow)
    const floor = ground < 0 ? inherited : this.#position(active[ground] ?? 0).level
    const waiting = active
      .slice(0, ground < 0 ? active.length : ground)
      .filter((number) => !this.#position(number).isEnd)
    while (waiting.length > 0 && this.#position(waiting.at(-1) ?? 0).level === floor) waiting.pop()
    return this.#intern(level, floor, waiting)
  }

  #intern(level: Level, floor: Level, waiting: readonly number[]): State {
    if (waiting.length === 0 && level === floor) return this.#uniformState(level)
    const key = `${level}${floor}${waiting.join()}`
    let state = this.#states.get(key)
    if (state === undefined) {
      state = this.#makeState(level, floor, waiting)
      this.#states.set(key, state)
      this.#words += STATE_WORDS + 2 * waiting.length
    }
    return state
  }

  #makeState(level: Level, floor: Level, waiting: readonly number[]): State {
    const possible = new Set<Level>([floor])
    for (const number of waiting) possible.add(this.#position(number).level)
    return new State({ owner: this, level, floor, waiting }, possible)
  }

  #uniformState(level: Level): State {
    const state = this.#uniform[level]
    if (state === undefined) throw new RangeError(`No such level: ${level}`)
    return state
  }

  #position(number: number): Position {
    const position = this.#positions[number]
    if (position === undefined) throw new RangeError(`No such position: ${number}`)
    return position
  }

  // States in use stay good: they hold all that a step needs.
  #forget(): void {
    this.#states = new Map()
    this.#transitions = new Map()
    this.#words = 0
    this.#names.forget()
  }
}

/** A path's place in the automaton. Immutable; equal states are mostly, not always, one object. */
class State implements PathState {
  readonly level: Level
  readonly mayRevealBelow: boolean
  readonly mayWriteBelow: boolean
  readonly uniformBelow: Level | null
  readonly mayRestrictBelow: boolean
  readonly owner: Automaton
  /** What every path below has unless a waiting position comes to match it. */
  readonly floor: Level
  /** The positions that may come to match something below; ascending, so the strongest first. */
  readonly waiting: readonly number[]

  constructor({ owner, level, floor, waiting }: StateParts, possibleBelow: ReadonlySet<Level>) {
    this.owner = owner
    this.level = level
    this.floor = floor
    this.waiting = waiting
    this.mayRevealBelow = level === NONE && (possibleBelow.size > 1 || !possibleBelow.has(NONE))
    this.mayWriteBelow = possibleBelow.has(WRITE)
    this.mayRestrictBelow = possibleBelow.has(VIEW) || possibleBelow.has(READ)
    this.uniformBelow = possibleBelow.size === 1 ? floor : null
  }
}

type StateParts = Pick<State, 'owner' | 'level' | 'floor' | 'waiting'>

interface Position {
  readonly level: Level
  readonly isStart: boolean
  /** All names have matched. */
  readonly isEnd: boolean
  /** Every path strictly below matches, whatever it is. */
  readonly takesAllBelow: boolean
  /** Names may come before the one that it waits for. */
  readonly floating: boolean
  /** The pattern of the name that it waits for, by its number in the index, or `ANY`. */
  readonly glob: number
}

const ANY = -1
const LEVELS: readonly Level[] = [NONE, VIEW, READ, WRITE]
/** About what a state and its key take beside its positions. */
const STATE_WORDS = 24

function positionsOf({ path, level }: Branch, globs: Map<string, { number: number; glob: NameGlob }>): Position[] {
  const { names, open } = path
  const waiting = names.map(({ glob, floating }, index): Position => {
    const isLast = index === names.length - 1
    return {
      level,
      isStart: index === 0,
      isEnd: false,
      takesAllBelow: isLast && glob.any && (floating || open),
      floating,
      glob: glob.any ? ANY : numberOf(glob, globs),
    }
  })
  const end: Position = {
    level,
    isStart: names.length === 0,
    isEnd: true,
    takesAllBelow: open,
    floating: false,
    glob: ANY,
  }
  return [...waiting, end]
}

function numberOf(glob: NameGlob, globs: Map<string, { number: number; glob: NameGlob }>): number {
  const known = globs.get(glob.key)
  if (known !== undefined) return known.number
  globs.set(glob.key, { number: globs.size, glob })
  return globs.size - 1
}
