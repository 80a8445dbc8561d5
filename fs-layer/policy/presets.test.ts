import { describe, expect, it } from 'vitest'
import { MAX_PRESET_NAME } from './limits.ts'
import { compilePolicy } from './policy.ts'
import { createPresetRegistry, SECRETS_PRIORITY } from './presets.ts'
import { LEVEL_NAMES, NONE, type Rule } from './rule.ts'

const levels = (rules: readonly Rule[], paths: string[]) => {
  const policy = compilePolicy(rules)
  return Object.fromEntries(paths.map((path) => [path, LEVEL_NAMES[policy.levelOf(path)]]))
}

const SECRETS = [
  ...['.env', '.env.local', '.envrc', 'server.key', '.key', 'ca.pem', 'id_rsa', 'id_ed25519.pub', 'credentials'],
  ...['credentials.json', 'secrets', 'secrets/a', 'secrets/a/b', '.git', '.git/config', '.env.d/a', 'x.key/a/b'],
]
const NOT_SECRETS = [
  'env',
  'a.env',
  'key',
  'keys',
  'secrets.ts',
  '.github/ci.yml',
  '.gitignore',
  'pid_file',
  'my-credentials',
]

describe('the preset', () => {
  const presets = createPresetRegistry()

  it.each([
    ['agent-safe', { '': 'read', a: 'read', 'a/b': 'read', output: 'write', 'output/a/b': 'write', 'tmp/a': 'write' }],
    ['agent-safe', { 'a/output/b': 'read', outputs: 'read', 'a/tmp': 'read' }],
    ['development', { '': 'write', a: 'write', 'a/b': 'write' }],
    ['read-only', { '': 'read', a: 'read', '.env': 'read', '.git/config': 'read' }],
    ['view-only', { '': 'view', a: 'view', '.env': 'view', 'a/.git/config': 'view' }],
    ['full-access', { '': 'write', a: 'write', '.env': 'write', 'a/.git/config': 'write' }],
  ])('%s gives %j', (name, expected) => {
    expect(levels(presets.findPreset(name).rules, Object.keys(expected))).toEqual(expected)
  })

  it.each(['agent-safe', 'development'])(
    '%s hides secrets at any depth and nothing that only looks like one',
    (name) => {
      const policy = compilePolicy(presets.findPreset(name).rules)
      for (const above of ['', 'a/', 'a/b/c/', 'output/', 'output/a/', 'tmp/']) {
        expect(SECRETS.filter((path) => policy.levelOf(above + path) !== NONE)).toEqual([])
        expect(NOT_SECRETS.filter((path) => policy.levelOf(above + path) === NONE)).toEqual([])
      }
    },
  )

  it('agent-safe has no path below a secret that could be seen', () => {
    const policy = compilePolicy(presets.findPreset('agent-safe').rules)
    const git = policy.step(policy.step(policy.root, 'a'), '.git')
    expect(git).toMatchObject({ mayRevealBelow: false, uniformBelow: NONE })
  })

  it('agent-safe lets a directory move between the folders that can be written', () => {
    const policy = compilePolicy(presets.findPreset('agent-safe').rules)
    const [output, tmp] = [policy.step(policy.root, 'output'), policy.step(policy.root, 'tmp')]
    expect(policy.mayRaise(policy.step(output, 'a'), policy.step(tmp, 'b'))).toBe('never')
  })
})

describe('a preset that is extended', () => {
  const { extendPreset } = createPresetRegistry()
  const glob = (pattern: string, level: Rule['level'], priority?: number): Rule =>
    priority === undefined ? { pattern, type: 'glob', level } : { pattern, type: 'glob', level, priority }

  it('gives way to a rule that was added, but for its secrets', () => {
    const rules = extendPreset('agent-safe', [
      glob('/build/**', 'write'),
      { pattern: 'x', type: 'directory', level: 'write' },
    ])
    expect(levels(rules, ['build', 'build/a', 'build/.env', 'a', 'x/.git/config', 'x/a'])).toEqual({
      build: 'write',
      'build/a': 'write',
      'build/.env': 'none',
      a: 'read',
      'x/.git/config': 'none',
      'x/a': 'write',
    })
  })

  it('loses a tie against a rule that was added', () => {
    expect(levels(extendPreset('agent-safe', [glob('/output/**', 'read')]), ['output/a'])).toEqual({
      'output/a': 'read',
    })
    expect(levels(extendPreset('agent-safe', [glob('**', 'view')]), ['a', 'output/a'])).toEqual({
      a: 'view',
      'output/a': 'write',
    })
  })

  it('shows one secret to a file rule without a priority, and no other', () => {
    const rules = extendPreset('agent-safe', [{ pattern: '/.env.example', type: 'file', level: 'read' }])
    expect(levels(rules, ['.env.example', '.env', 'a/.env.example', '.env.example/a'])).toEqual({
      '.env.example': 'read',
      '.env': 'none',
      'a/.env.example': 'none',
      '.env.example/a': 'none',
    })
  })

  it('keeps the priority that a file rule brings', () => {
    const [last] = extendPreset('agent-safe', [{ pattern: '/.env', type: 'file', level: 'read', priority: 1 }]).slice(
      -1,
    )
    expect(last?.priority).toBe(1)
  })

  it('opens secrets to any rule of their own priority that is stronger or later', () => {
    const rules = extendPreset('development', [
      { pattern: '/.git', type: 'directory', level: 'read', priority: SECRETS_PRIORITY },
      glob('test/**/*.pem/**', 'read', SECRETS_PRIORITY),
    ])
    expect(levels(rules, ['.git/config', 'a/.git/config', 'test/a/b.pem', 'b.pem'])).toEqual({
      '.git/config': 'read',
      'a/.git/config': 'none',
      'test/a/b.pem': 'read',
      'b.pem': 'none',
    })
  })
})

describe('a registry', () => {
  const mine = (name: string, pattern = '**') => ({
    name,
    description: 'Mine.',
    rules: [{ pattern, type: 'glob', level: 'read' }] as const,
  })

  it('lists the built-in presets and then those that were registered', () => {
    const registry = createPresetRegistry()
    registry.registerPreset(mine('mine'))
    const names = registry.listPresets().map(({ name }) => name)
    expect(names).toEqual(['agent-safe', 'development', 'read-only', 'view-only', 'full-access', 'mine'])
    expect(registry.extendPreset('mine', [])).toEqual(mine('mine').rules)
    expect(createPresetRegistry().listPresets()).toHaveLength(5)
  })

  it('names the presets there are when asked for another', () => {
    const { findPreset } = createPresetRegistry()
    for (const name of ['agent-unsafe', '', '__proto__', 'constructor']) {
      expect(() => findPreset(name)).toThrow(expect.objectContaining({ code: 'unknown-preset' }))
    }
    expect(() => findPreset('x')).toThrow(/agent-safe, development, read-only, view-only, full-access/)
  })

  it('refuses a name that is taken or malformed', () => {
    const { registerPreset } = createPresetRegistry()
    for (const name of ['agent-safe', '', 'A', '1a', 'a b', 'a\n', 'a'.repeat(MAX_PRESET_NAME + 1)]) {
      expect(() => registerPreset(mine(name))).toThrow(
        expect.objectContaining({ code: 'invalid-preset', field: 'name' }),
      )
    }
    registerPreset(mine('a'.repeat(MAX_PRESET_NAME)))
  })

  it('refuses a preset with a bad rule and does not keep it', () => {
    const registry = createPresetRegistry()
    expect(() => registry.registerPreset(mine('mine', 'a**'))).toThrow(
      expect.objectContaining({ code: 'invalid-pattern', index: 0, pattern: 'a**' }),
    )
    expect(() => registry.findPreset('mine')).toThrow(expect.objectContaining({ code: 'unknown-preset' }))
  })

  it('keeps a registered preset as it was', () => {
    const registry = createPresetRegistry()
    const preset = { name: 'mine', description: '', rules: [{ pattern: 'a', type: 'glob', level: 'read' }] as Rule[] }
    registry.registerPreset(preset)
    preset.rules.push({ pattern: '**', type: 'glob', level: 'write' })
    expect(registry.findPreset('mine').rules).toHaveLength(1)
  })
})
