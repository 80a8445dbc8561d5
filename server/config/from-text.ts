import { parse as parseYaml } from 'yaml'
import { ConfigError } from './config-error.ts'
import type { SettingKind } from './settings.ts'

/** What stands in a variable or after a flag, as the file would have it. Throws a `ConfigError` naming `where`. */
export function fromText(text: string, kind: SettingKind, where: string): unknown {
  switch (kind) {
    case 'number':
      if (!/^\d{1,16}$/.test(text)) throw new ConfigError(`${where} \`${text}\` is not a whole number`)
      return Number(text)
    case 'switch':
      if (text !== 'true' && text !== 'false') throw new ConfigError(`${where} \`${text}\` is not true or false`)
      return text === 'true'
    case 'structure':
      try {
        return parseYaml(text)
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        throw new ConfigError(`${where} is not YAML: ${why}`, { cause: error })
      }
    case 'path':
    case 'text':
      return text
  }
}

export type Settings = Record<string, unknown>

/** Puts a value where the file would have it. */
export function putAt(settings: Settings, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) {
    settings[key] = value
    return
  }
  const below = (settings[key] ?? {}) as Settings
  settings[key] = below
  putAt(below, rest, value)
}
