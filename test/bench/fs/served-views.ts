import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createPresetRegistry } from '../../../fs-layer/policy/presets.ts'
import { importDirectory } from '../../../fs-layer/store/import.ts'
import type { Hash } from '../../../fs-layer/store/objects.ts'
import { Store } from '../../../fs-layer/store/store.ts'
import type { ViewCall } from './view-process.ts'

/** The views of one process. */
export interface ServedViews extends AsyncDisposable {
  open(call: ViewCall & { op: 'open' }, deltaDir: string): Promise<void>
  close(view: string): Promise<void>
  /** Requests so far, by opcode. */
  counts(view: string): Record<string, number>
}

/** As `development`, but that git works in the view: its folder is a secret there. */
export const RULES = createPresetRegistry().extendPreset('development', [
  { pattern: '.git/**', type: 'glob', level: 'write', priority: 101 },
])

export const OWNER = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

export function storeDirOf(home: string): string {
  return join(home, 'store')
}

/** Takes the folder into the store, if that was not done before. */
export async function takeIn(base: string, home: string): Promise<Hash> {
  const known = join(home, 'base')
  if (existsSync(known)) return readFileSync(known, 'latin1')
  await using store = await Store.open({ dir: storeDirOf(home) })
  const { hash } = await importDirectory(store, base)
  writeFileSync(known, hash)
  return hash
}

export function logToStderr(level: string, message: string, fields: Record<string, unknown>): void {
  if (level !== 'info') process.stderr.write(`${level}: ${message} ${JSON.stringify(fields)}\n`)
}
