import { ConfigError } from './config-error.ts'
import { fromText, putAt, type Settings } from './from-text.ts'
import { meant } from './nearest.ts'
import { SETTINGS } from './settings.ts'

/**
 * `CROFT_` and the path of the setting in capitals. Of variables that are none only those are refused that begin as
 * settings within settings do: `CROFT_SERVER` and the like are for clients, and a client hands its environment to the
 * server that it starts.
 */
export function fromEnvironment(env: NodeJS.ProcessEnv): Settings {
  const settings: Settings = {}
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('CROFT_') || value === undefined) continue
    const setting = SETTINGS.find(({ variable }) => variable === name)
    if (setting !== undefined) putAt(settings, setting.path, fromText(value, setting.kind, name))
    else if (PREFIXES.some((prefix) => name.startsWith(prefix))) {
      const known = SETTINGS.map(({ variable }) => variable)
      throw new ConfigError(`unknown environment variable ${name}${meant(name, known, (text) => text)}`)
    }
  }
  return settings
}

/** `CROFT_LIMITS_` and so on. */
const PREFIXES: readonly string[] = [
  ...new Set(
    SETTINGS.flatMap(({ path, variable }) => {
      const { length } = path
        .slice(1)
        .join('_')
        .replace(/[A-Z]/g, (letter) => `_${letter}`)
      return path.length > 1 ? [variable.slice(0, variable.length - length)] : []
    }),
  ),
]
