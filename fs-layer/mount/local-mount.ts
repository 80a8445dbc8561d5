import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import type { WantedDevice } from '../device/choose.ts'
import { createPresetRegistry } from '../policy/presets.ts'
import type { Rule } from '../policy/rule.ts'
import { type ImportProgress, importDirectory, type Skipped } from '../store/import.ts'
import type { Hash } from '../store/objects.ts'
import { Store } from '../store/store.ts'
import { openFsLayerByDevice } from '../worker/open-by-device.ts'

export interface LocalMountSpec {
  /** The folder to show. It is never written to. */
  readonly dir: string
  /** An empty directory outside of `dir`. */
  readonly mountpoint: string
  /** Rules to begin with; without it only `rules` count. */
  readonly preset?: string
  readonly rules: readonly Rule[]
  /** Where the base and what is written are kept. Without it both are thrown away at the end. */
  readonly deltaDir?: string
  readonly device: WantedDevice
}

export interface LocalMountEvents {
  readonly onProgress?: (progress: ImportProgress) => void
  readonly onSkipped?: (skipped: readonly Skipped[]) => void
  readonly onLog?: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void
}

export interface LocalMount extends AsyncDisposable {
  /** The folder was taken in at an earlier mount with this `deltaDir`, and is shown as it was then. */
  readonly keptBase: boolean
  /** Resolves if the filesystem thread ends by itself. */
  readonly died: Promise<Error>
}

/**
 * A copy-on-write view of a local folder without a server: the folder is taken into a store beside the delta,
 * so that what the view shows is one state of it, whatever happens to the folder later.
 */
export async function mountLocal(
  spec: LocalMountSpec,
  events: LocalMountEvents,
  signal: AbortSignal,
): Promise<LocalMount> {
  check(spec)
  const rules = spec.preset === undefined ? spec.rules : createPresetRegistry().extendPreset(spec.preset, spec.rules)
  const undo: (() => unknown)[] = []
  try {
    return await assemble(spec, rules, events, signal, undo)
  } catch (error) {
    await runBackwards(undo)
    throw error
  }
}

async function assemble(
  spec: LocalMountSpec,
  rules: readonly Rule[],
  events: LocalMountEvents,
  signal: AbortSignal,
  undo: (() => unknown)[],
): Promise<LocalMount> {
  const home = spec.deltaDir ?? mkdtempSync(join(tmpdir(), 'croft-mount-'))
  if (spec.deltaDir === undefined) undo.push(() => rmSync(home, { recursive: true, force: true }))
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const store = await Store.open({ dir: join(home, 'store') })
  undo.push(() => store[Symbol.asyncDispose]())
  const kept = readBase(home)
  const base = kept ?? (await takeIn(spec.dir, home, store, events, signal))
  signal.throwIfAborted()
  const { onLog } = events
  const options = { storeDir: join(home, 'store'), ...(onLog === undefined ? {} : { onLog }) }
  const { fsLayer: layer, choice } = await openFsLayerByDevice(spec.device, options)
  undo.push(() => layer[Symbol.asyncDispose]())
  const { uid, gid } = statSync(spec.dir)
  const view = await layer.openView({ id: 'croft', base, deltaDir: join(home, 'delta'), rules, owner: { uid, gid } })
  undo.push(() => view.close())
  await view.mount(spec.mountpoint, { device: choice.device })
  return { keptBase: kept !== null, died: layer.died, [Symbol.asyncDispose]: () => runBackwards(undo) }
}

async function runBackwards(undo: (() => unknown)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step()
}

function check({ dir, mountpoint, deltaDir }: LocalMountSpec): void {
  if (!statSync(dir).isDirectory()) throw new Error(`DIR ${dir} is not a directory`)
  if (!existsSync(mountpoint)) throw new Error(`MOUNTPOINT ${mountpoint} does not exist; make it with mkdir`)
  if (isWithin(mountpoint, dir)) throw new Error(`MOUNTPOINT ${mountpoint} lies in ${dir}: a view cannot show itself`)
  if (deltaDir !== undefined && isWithin(deltaDir, dir)) {
    throw new Error(`--delta ${deltaDir} lies in ${dir}: it would be part of what it keeps`)
  }
}

async function takeIn(
  dir: string,
  home: string,
  store: Store,
  { onProgress, onSkipped }: LocalMountEvents,
  signal: AbortSignal,
): Promise<Hash> {
  const imported = await importDirectory(store, dir, { signal, ...(onProgress === undefined ? {} : { onProgress }) })
  if (imported.skipped.length > 0) onSkipped?.(imported.skipped)
  const path = basePath(home)
  writeFileSync(`${path}.new`, JSON.stringify({ base: imported.hash, dir }))
  renameSync(`${path}.new`, path)
  return imported.hash
}

function readBase(home: string): Hash | null {
  return existsSync(basePath(home)) ? (JSON.parse(readFileSync(basePath(home), 'utf8')) as { base: Hash }).base : null
}

function basePath(home: string): string {
  return join(home, 'base.json')
}

function isWithin(path: string, directory: string): boolean {
  return resolve(path) === resolve(directory) || resolve(path).startsWith(resolve(directory) + sep)
}
