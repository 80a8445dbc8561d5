/** The levels, each including those before it. Ordered by number. */
export const NONE = 0
export const VIEW = 1
export const READ = 2
export const WRITE = 3
export type Level = typeof NONE | typeof VIEW | typeof READ | typeof WRITE

export const LEVEL_NAMES = ['none', 'view', 'read', 'write'] as const
export type LevelName = (typeof LEVEL_NAMES)[number]

export type PatternType = 'glob' | 'directory' | 'file'

export interface Rule {
  /** Anchored at the root; a leading `/` is optional. UTF-8 text; matched as bytes. */
  readonly pattern: string
  readonly type: PatternType
  readonly level: LevelName
  /** Higher wins. Default 0. */
  readonly priority?: number
}
