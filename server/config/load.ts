import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import type { z } from 'zod'
import { ConfigError } from './config-error.ts'
import { limitsSchema } from './limits.ts'
import { defaultDataDir, defaultMountDir, defaultSocket, type Surroundings } from './locations.ts'
import { type Config, configSchema, fsSchema } from './schema.ts'

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

type Settings = Record<string, unknown>

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

/**
 * `CROFT_` and the path of the key in capitals. Of other variables only misspelt limits are refused:
 * `CROFT_SERVER` and the like are for clients, and a client hands its environment to the server that it starts.
 */
function fromEnvironment(env: NodeJS.ProcessEnv): Settings {
  const settings: Settings = {}
  for (const key of Object.keys(configSchema.shape)) {
    const value = env[`CROFT_${capitals(key)}`]
    if (value !== undefined && !NESTED.has(key)) settings[key] = numberOr(value, key)
  }
  const limits = nested(env, 'CROFT_LIMITS_', Object.keys(limitsSchema.shape), Number)
  const hostUids = nested(env, 'CROFT_HOST_UIDS_', ['first', 'last'], Number)
  const fs = nested(env, 'CROFT_FS_', Object.keys(fsSchema.shape), String)
  const engines = ['docker', 'podman'] as const
  for (const engine of engines) {
    const given = nested(env, `CROFT_${capitals(engine)}_`, ['socket'], String)
    if (given !== undefined) settings[engine] = given
  }
  if (limits !== undefined) settings['limits'] = limits
  if (hostUids !== undefined) settings['hostUids'] = hostUids
  if (fs !== undefined) settings['fs'] = fs
  return settings
}

const NESTED: ReadonlySet<string> = new Set(['limits', 'hostUids', 'fs', 'docker', 'podman'])

function nested(
  env: NodeJS.ProcessEnv,
  prefix: string,
  keys: readonly string[],
  parse: (value: string) => unknown,
): Settings | undefined {
  const names = new Map(keys.map((key) => [prefix + capitals(key), key]))
  const found: Settings = {}
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(prefix) || value === undefined) continue
    const key = names.get(name)
    if (key === undefined) throw new ConfigError(`unknown environment variable ${name}`)
    found[key] = parse(value)
  }
  return Object.keys(found).length === 0 ? undefined : found
}

function capitals(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}

function numberOr(value: string, key: string): unknown {
  return key === 'idleExitSeconds' ? Number(value) : value
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
    const names = issue.keys.map((key) => `\`${[...path, key].join('.')}\``)
    return `unknown ${names.length === 1 ? 'setting' : 'settings'} ${names.join(', ')}`
  }
  return `\`${path.join('.')}\`: ${issue.message}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
