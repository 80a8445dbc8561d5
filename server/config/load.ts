import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import type { z } from 'zod'
import { ConfigError } from './config-error.ts'
import { fromEnvironment } from './environment.ts'
import type { Settings } from './from-text.ts'
import { defaultDataDir, defaultMountDir, defaultSocket, type Surroundings } from './locations.ts'
import { meant } from './nearest.ts'
import { type Config, configSchema } from './schema.ts'
import { namesAt } from './settings.ts'

export interface Sources extends Surroundings {
  /** Settings from the command line, in the shape of the file. */
  readonly flags?: Record<string, unknown>
  /** A YAML file. */
  readonly file?: string
}

/**
 * The settings in force: flags over environment over file over defaults, each key for itself. Throws a
 * `ConfigError` that names every key that is unknown or has a value that cannot be.
 */
export function loadConfig({ flags = {}, file, uid, env }: Sources): Config {
  const given = merge(merge(file === undefined ? {} : readFile(file), fromEnvironment(env)), flags)
  const dataDir = given['dataDir'] ?? defaultDataDir({ uid, env })
  const parsed = configSchema.safeParse({
    ...given,
    dataDir,
    socket: given['socket'] ?? defaultSocket({ uid, env }),
    mountDir: given['mountDir'] ?? defaultMountDir({ uid, env }),
  })
  if (parsed.success) return parsed.data
  throw new ConfigError(parsed.error.issues.map(describe).join('; '))
}

function readFile(file: string): Settings {
  let content: unknown
  try {
    content = parseYaml(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`cannot read the settings in ${file}: ${messageOf(error)}`, { cause: error })
  }
  if (content === null || content === undefined) return {}
  if (!isSettings(content)) throw new ConfigError(`${file} is not a mapping of settings`)
  return content
}

function merge(below: Settings, above: Settings): Settings {
  const merged: Settings = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const under = merged[key]
    merged[key] = isSettings(under) && isSettings(value) ? { ...under, ...value } : value
  }
  return merged
}

function isSettings(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const known = namesAt(issue.path)
    const names = issue.keys.map(
      (key) => `\`${[...path, key].join('.')}\`${meant(key, known, (name) => `\`${[...path, name].join('.')}\``)}`,
    )
    return `unknown ${names.length === 1 ? 'setting' : 'settings'} ${names.join(', ')}`
  }
  return `\`${path.join('.')}\`: ${issue.message}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
