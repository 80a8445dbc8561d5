import { MAX_PRESET_NAME } from './limits.ts'
import { compilePolicy } from './policy.ts'
import { PolicyError } from './policy-error.ts'
import type { Rule } from './rule.ts'

/** Rules to begin with, under a name. */
export interface Preset {
  /** Lower-case letters, digits and `-`, beginning with a letter. */
  readonly name: string
  /** One sentence. */
  readonly description: string
  readonly rules: readonly Rule[]
}

export interface PresetRegistry {
  /** In the order of their registration, the built-in ones first. */
  listPresets(): Preset[]
  /** Throws a `PolicyError` with the code `unknown-preset`. */
  findPreset(name: string): Preset
  /**
   * The rules of a preset with `rules` added after them, so that these win ties. A file rule among them that
   * has no priority of its own gets the preset's highest: it names one path, so it is meant, and it uncovers
   * nothing else.
   */
  extendPreset(name: string, rules: readonly Rule[]): Rule[]
  /** Throws a `PolicyError` where the name is taken or malformed, or a rule is bad. */
  registerPreset(preset: Preset): void
}

/** A registry that knows `BUILT_IN_PRESETS`. */
export function createPresetRegistry(): PresetRegistry {
  const presets = new Map(BUILT_IN_PRESETS.map((preset) => [preset.name, preset]))
  const findPreset = (name: string): Preset => {
    const preset = presets.get(name)
    if (preset !== undefined) return preset
    const reason = `there is no preset ${JSON.stringify(name)}; there are ${[...presets.keys()].join(', ')}`
    throw new PolicyError('unknown-preset', { field: 'preset', reason })
  }
  return {
    listPresets: () => [...presets.values()],
    findPreset,
    extendPreset: (name, rules) => {
      const preset = findPreset(name)
      return [...preset.rules, ...meantFiles(rules, highestPriority(preset.rules))]
    },
    registerPreset: (preset) => {
      checkName(preset.name)
      if (presets.has(preset.name)) {
        throw new PolicyError('invalid-preset', { field: 'name', reason: `there is a preset ${preset.name} already` })
      }
      compilePolicy(preset.rules)
      presets.set(preset.name, structuredClone(preset))
    },
  }
}

/** Rules of presets that no rule of priority 0 shall uncover. */
export const SECRETS_PRIORITY = 100

/**
 * What is hidden wherever it lies. Each ends in `**`, for a directory of that name keeps its contents hidden
 * only if these are matched too.
 */
const SECRETS: readonly Rule[] = ['.env*', '*.key', '*.pem', 'id_*', 'credentials*', 'secrets', '.git'].map((name) => ({
  pattern: `**/${name}/**`,
  type: 'glob',
  level: 'none',
  priority: SECRETS_PRIORITY,
}))

const BUILT_IN_PRESETS: readonly Preset[] = [
  {
    name: 'agent-safe',
    description: 'Reads everything but secrets and .git, writes only in /output and /tmp.',
    rules: [everything('read'), glob('/output/**', 'write'), glob('/tmp/**', 'write'), ...SECRETS],
  },
  {
    name: 'development',
    description: 'Reads and writes everything but secrets and .git.',
    rules: [everything('write'), ...SECRETS],
  },
  {
    name: 'read-only',
    description: 'Reads everything, secrets too, and writes nothing.',
    rules: [everything('read')],
  },
  {
    name: 'view-only',
    description: 'Sees names and attributes of everything, and reads no contents.',
    rules: [everything('view')],
  },
  {
    name: 'full-access',
    description: 'Reads and writes everything, secrets too.',
    rules: [everything('write')],
  },
]

function everything(level: Rule['level']): Rule {
  return glob('**', level)
}

function glob(pattern: string, level: Rule['level']): Rule {
  return { pattern, type: 'glob', level, priority: 0 }
}

function highestPriority(rules: readonly Rule[]): number {
  return rules.reduce((highest, { priority = 0 }) => Math.max(highest, priority), 0)
}

// On the wire a priority that was not given and a priority of 0 are the same.
function meantFiles(rules: readonly Rule[], priority: number): Rule[] {
  return rules.map((rule) => (rule.type === 'file' && (rule.priority ?? 0) === 0 ? { ...rule, priority } : rule))
}

function checkName(name: string): void {
  if (name.length > MAX_PRESET_NAME || !/^[a-z][a-z0-9-]*$/.test(name)) {
    const reason = `it is not 1 to ${MAX_PRESET_NAME} lower-case letters, digits and -, beginning with a letter`
    throw new PolicyError('invalid-preset', { field: 'name', reason })
  }
}
