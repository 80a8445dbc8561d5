import { create } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { createPresetRegistry } from '../../fs-layer/policy/presets.ts'
import { PatternType, Permission, PermissionRuleSchema } from '../../proto/index.ts'
import { parseRules, ruleMessage } from './permissions.ts'

const presets = createPresetRegistry()
const context = { presets, maxRules: 20 }
const rule = (pattern: string, more: object = {}) => create(PermissionRuleSchema, { pattern, ...more })

it('rules of the request come after those of the preset', () => {
  const rules = parseRules('read-only', [rule('/build/**', { permission: Permission.WRITE })], context)
  expect(rules).toHaveLength(presets.findPreset('read-only').rules.length + 1)
  expect(rules.at(-1)).toMatchObject({ pattern: '/build/**', level: 'write', type: 'glob' })
})

it('what is not specified is a glob, and none', () => {
  expect(parseRules('', [rule('a')], context)).toEqual([{ pattern: 'a', type: 'glob', level: 'none', priority: 0 }])
})

it('a rule goes to the client as it came', () => {
  const message = { pattern: '/a', type: PatternType.FILE, permission: Permission.READ, priority: -3 }
  const [parsed] = parseRules('', [create(PermissionRuleSchema, message)], context)
  expect(parsed && ruleMessage(parsed)).toEqual(message)
})

it.each([
  ['permissions[1].pattern', '', [rule('ok'), rule('[')]],
  ['permissions[0].pattern', 'agent-safe', [rule('a/../b')]],
  ['permissions[0].pattern', '', [rule('')]],
  ['permissions[0].type', '', [rule('a', { type: 9 })]],
  ['permissions[0].permission', '', [rule('a', { permission: 9 })]],
  ['permissions', '', Array.from({ length: 21 }, () => rule('a'))],
  ['preset', 'nice', []],
])('%s is named where it is bad', (field, preset, permissions) => {
  expect(() => parseRules(preset, permissions, context)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
  )
})

it('as many rules as the limit are taken', () => {
  expect(
    parseRules(
      '',
      Array.from({ length: 20 }, () => rule('a')),
      context,
    ),
  ).toHaveLength(20)
})
