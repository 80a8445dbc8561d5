import type { z } from 'zod'
import { configSchema, PATHS } from './schema.ts'

export type SettingKind = 'text' | 'path' | 'number' | 'switch' | 'structure'

/** One thing that can be set, wherever it is said. */
export interface Setting {
  /** `['fs', 'device']`; in the file `fs.device`. */
  readonly path: readonly string[]
  readonly kind: SettingKind
  /** `CROFT_FS_DEVICE` */
  readonly variable: string
  /** `fs-device` */
  readonly flag: string
}

type Schema = z.core.$ZodType

/** All of them, from the schema, in its order. */
export const SETTINGS: readonly Setting[] = settingsOf(configSchema, [])

function settingsOf(schema: Schema, path: readonly string[]): Setting[] {
  const shape = shapeOf(schema)
  if (shape !== undefined) return Object.entries(shape).flatMap(([key, below]) => settingsOf(below, [...path, key]))
  const words = path.map(withDashes)
  return [
    {
      path,
      kind: kindOf(bare(schema)),
      variable: `CROFT_${words.join('-').replaceAll('-', '_').toUpperCase()}`,
      flag: words.join('-'),
    },
  ]
}

/** The names that a mapping of settings may have at a place; none where it is no such mapping. */
export function namesAt(path: readonly PropertyKey[]): string[] {
  let schema: Schema | undefined = configSchema
  for (const key of path) schema = schema === undefined ? undefined : below(schema, String(key))
  return Object.keys((schema && shapeOf(schema)) ?? {})
}

function below(schema: Schema, key: string): Schema | undefined {
  const { def } = bare(schema) as unknown as { def: Definition }
  if (def.type === 'array') return def.element
  if (def.type === 'record') return def.valueType
  return shapeOf(schema)?.[key]
}

interface Definition {
  readonly type: string
  readonly innerType?: Schema
  readonly in?: Schema
  readonly element?: Schema
  readonly valueType?: Schema
}

function shapeOf(schema: Schema): Readonly<Record<string, Schema>> | undefined {
  return (bare(schema) as { shape?: Readonly<Record<string, Schema>> }).shape
}

/** What is written by hand, without its default and what becomes of it. */
function bare(schema: Schema): Schema {
  const { def } = schema as unknown as { def: Definition }
  const inner = def.innerType ?? def.in
  return inner === undefined ? schema : bare(inner)
}

function kindOf(schema: Schema): SettingKind {
  if (PATHS.includes(schema)) return 'path'
  const { type } = (schema as unknown as { def: Definition }).def
  switch (type) {
    case 'number':
      return 'number'
    case 'boolean':
      return 'switch'
    case 'array':
    case 'record':
      return 'structure'
    default:
      return 'text'
  }
}

function withDashes(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
