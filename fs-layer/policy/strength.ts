import type { PathPattern } from './glob.ts'
import type { PatternType } from './rule.ts'

/** What decides between patterns that match the same path (docs/spec/policy.md). */
export interface Claim {
  readonly priority: number
  readonly type: PatternType
  readonly path: PathPattern
  /** Of its rule in the list. */
  readonly index: number
}

/** Negative where `a` wins over `b`. No two claims of different rules are equal. */
export function compareStrength(a: Claim, b: Claim): number {
  return (
    b.priority - a.priority ||
    TYPE_STRENGTH[b.type] - TYPE_STRENGTH[a.type] ||
    compareSpecificity(a.path, b.path) ||
    b.index - a.index
  )
}

const TYPE_STRENGTH = { glob: 0, directory: 1, file: 2 } as const

/** Negative where `a` is the more specific. */
function compareSpecificity(a: PathPattern, b: PathPattern): number {
  const left = specificityOf(a)
  const right = specificityOf(b)
  return (
    right.literalNames - left.literalNames ||
    right.literalBytes - left.literalBytes ||
    right.names - left.names ||
    left.anyPaths - right.anyPaths ||
    left.stars - right.stars ||
    left.anyBytes - right.anyBytes
  )
}

interface Specificity {
  /** Names without a wildcard. */
  readonly literalNames: number
  /** In all names. */
  readonly literalBytes: number
  readonly names: number
  /** `**`. */
  readonly anyPaths: number
  readonly stars: number
  readonly anyBytes: number
}

function specificityOf({ names, open }: PathPattern): Specificity {
  return {
    literalNames: names.filter(({ glob }) => glob.literal !== null).length,
    literalBytes: sum(names.map(({ glob }) => glob.literalBytes)),
    names: names.length,
    anyPaths: names.filter(({ floating }) => floating).length + (open ? 1 : 0),
    stars: sum(names.map(({ glob }) => glob.stars)),
    anyBytes: sum(names.map(({ glob }) => glob.anyBytes)),
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
