import type { MessageInitShape } from '@bufbuild/protobuf'
import { PatternType, Permission, type PermissionRule, type PermissionRuleSchema } from '../proto/index.ts'
import { InvalidArgumentError } from './errors.ts'

/** What a sandbox may do with a path; each level includes those before it. */
export type Level = 'none' | 'view' | 'read' | 'write'

export interface Rule {
  /**
   * Anchored at the root of the codebase; a leading `/` is optional. A glob knows `*`, `?` and `[…]` within a
   * name, `**` for any number of whole names, and `{a,b}`.
   */
  readonly pattern: string
  readonly level: Level
  /** Default `glob`. `directory` and `file` take the pattern as a literal path. */
  readonly type?: 'glob' | 'directory' | 'file'
  /** The higher one wins. A whole number; default 0. */
  readonly priority?: number
}

/** A list of rules, or in short `{ '/build/**': 'write' }`. */
export type Rules = readonly Rule[] | Readonly<Record<string, Level>>

/** The preset that rules are added to where none is named. */
export const DEFAULT_PRESET = 'agent-safe'

/** Throws an `InvalidArgumentError` that names the rule. Whether a pattern is a good one, the server says. */
export function rulesToWire(rules: Rules | undefined): MessageInitShape<typeof PermissionRuleSchema>[] {
  if (rules === undefined) return []
  const list = Array.isArray(rules) ? (rules as readonly Rule[]) : Object.entries(rules).map(shortRule)
  return list.map(ruleToWire)
}

export function ruleFromWire(rule: PermissionRule): Rule {
  return {
    pattern: rule.pattern,
    level: levelFromWire(rule.permission),
    type: TYPE_NAMES[rule.type],
    priority: rule.priority,
  }
}

export function levelFromWire(permission: Permission): Level {
  return LEVEL_NAMES[permission]
}

const LEVELS: Record<Level, Permission> = {
  none: Permission.NONE,
  view: Permission.VIEW,
  read: Permission.READ,
  write: Permission.WRITE,
}

const LEVEL_NAMES: Record<Permission, Level> = {
  [Permission.UNSPECIFIED]: 'none',
  [Permission.NONE]: 'none',
  [Permission.VIEW]: 'view',
  [Permission.READ]: 'read',
  [Permission.WRITE]: 'write',
}

type TypeName = NonNullable<Rule['type']>

const TYPES: Record<TypeName, PatternType> = {
  glob: PatternType.GLOB,
  directory: PatternType.DIRECTORY,
  file: PatternType.FILE,
}

const TYPE_NAMES: Record<PatternType, TypeName> = {
  [PatternType.UNSPECIFIED]: 'glob',
  [PatternType.GLOB]: 'glob',
  [PatternType.DIRECTORY]: 'directory',
  [PatternType.FILE]: 'file',
}

function shortRule([pattern, level]: [string, Level]): Rule {
  return { pattern, level }
}

function ruleToWire(rule: Rule, index: number): MessageInitShape<typeof PermissionRuleSchema> {
  const field = `permissions[${index}]`
  if (typeof rule.pattern !== 'string' || rule.pattern === '') {
    throw new InvalidArgumentError(`${field}.pattern is empty`, `${field}.pattern`)
  }
  if (!Object.hasOwn(LEVELS, rule.level)) {
    throw new InvalidArgumentError(
      `${field}.level is ${JSON.stringify(rule.level)}; it must be none, view, read or write`,
      `${field}.level`,
    )
  }
  const type = rule.type ?? 'glob'
  if (!Object.hasOwn(TYPES, type)) {
    throw new InvalidArgumentError(
      `${field}.type is ${JSON.stringify(type)}; it must be glob, directory or file`,
      `${field}.type`,
    )
  }
  const priority = rule.priority ?? 0
  if (!Number.isInteger(priority) || Math.abs(priority) > MAX_PRIORITY) {
    throw new InvalidArgumentError(`${field}.priority must be a whole number of 32 bits`, `${field}.priority`)
  }
  return { pattern: rule.pattern, type: TYPES[type], permission: LEVELS[rule.level], priority }
}

const MAX_PRIORITY = 2 ** 31 - 1
