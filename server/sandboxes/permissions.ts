import type { MessageInitShape } from '@bufbuild/protobuf'
import { compilePolicy } from '../../fs-layer/policy/policy.ts'
import { PolicyError } from '../../fs-layer/policy/policy-error.ts'
import type { PresetRegistry } from '../../fs-layer/policy/presets.ts'
import type { LevelName, Rule, PatternType as RuleType } from '../../fs-layer/policy/rule.ts'
import { PatternType, Permission, type PermissionRule, type PermissionRuleSchema } from '../../proto/index.ts'
import { type CroftError, invalid, printable } from '../errors/croft-error.ts'

/**
 * The rules in force: the preset's, then those of the request, which so win ties. Throws INVALID_ARGUMENT
 * naming `preset` or the rule and its field; nothing is skipped and nothing is mended.
 */
export function parseRules(
  preset: string,
  permissions: readonly PermissionRule[],
  { presets, maxRules }: { presets: PresetRegistry; maxRules: number },
): Rule[] {
  const own = permissions.map(parseRule)
  const rules = preset === '' ? own : extended(presets, preset, own)
  if (rules.length > maxRules) {
    throw invalid('permissions', `with those of the preset are ${rules.length} rules, over the limit of ${maxRules}`)
  }
  try {
    compilePolicy(rules)
  } catch (error) {
    if (error instanceof PolicyError) throw refused(error, rules.length - own.length)
    throw error
  }
  return rules
}

export function ruleMessage(rule: Rule): MessageInitShape<typeof PermissionRuleSchema> {
  return {
    pattern: rule.pattern,
    type: TYPE_NUMBERS[rule.type],
    permission: LEVEL_NUMBERS[rule.level],
    priority: rule.priority ?? 0,
  }
}

function parseRule(rule: PermissionRule, index: number): Rule {
  const type = TYPES[rule.type]
  if (type === undefined) throw invalid(`permissions[${index}].type`, `is ${rule.type}, which is no pattern type`)
  const level = LEVELS[rule.permission]
  if (level === undefined) {
    throw invalid(`permissions[${index}].permission`, `is ${rule.permission}, which is no permission`)
  }
  return { pattern: rule.pattern, type, level, priority: rule.priority }
}

function extended(presets: PresetRegistry, preset: string, own: readonly Rule[]): Rule[] {
  try {
    return presets.extendPreset(preset, own)
  } catch (error) {
    if (error instanceof PolicyError) throw invalid('preset', printable(error.reason), error)
    throw error
  }
}

function refused(error: PolicyError, presetRules: number): CroftError {
  if (error.index === undefined) return invalid('permissions', printable(error.message), error)
  const field = `permissions[${error.index - presetRules}].${error.field ?? 'pattern'}`
  const pattern = error.pattern === undefined ? '' : ` \`${printable(error.pattern)}\``
  const position = error.position === undefined ? '' : ` at ${error.position}`
  return invalid(field, `${pattern}${position}: ${printable(error.reason)}`.trimStart(), error)
}

/** What is not specified means a glob, and none. */
const TYPES: Readonly<Record<number, RuleType>> = {
  [PatternType.UNSPECIFIED]: 'glob',
  [PatternType.GLOB]: 'glob',
  [PatternType.DIRECTORY]: 'directory',
  [PatternType.FILE]: 'file',
}

const LEVELS: Readonly<Record<number, LevelName>> = {
  [Permission.UNSPECIFIED]: 'none',
  [Permission.NONE]: 'none',
  [Permission.VIEW]: 'view',
  [Permission.READ]: 'read',
  [Permission.WRITE]: 'write',
}

const TYPE_NUMBERS: Readonly<Record<RuleType, PatternType>> = {
  glob: PatternType.GLOB,
  directory: PatternType.DIRECTORY,
  file: PatternType.FILE,
}

const LEVEL_NUMBERS: Readonly<Record<LevelName, Permission>> = {
  none: Permission.NONE,
  view: Permission.VIEW,
  read: Permission.READ,
  write: Permission.WRITE,
}
