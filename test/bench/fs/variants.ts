import { accessSync, constants, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../suite.ts'
import { croftVariant } from './croft.ts'
import { nativeVariant } from './native.ts'
import { fuseOverlay, kernelOverlay } from './overlay.ts'
import type { Project } from './project.ts'
import { CROFT, NATIVE, type Variant } from './variant.ts'
import { startViewProcess, type ViewProcess } from './view-process.ts'

export interface Variants extends AsyncDisposable {
  /** Native first. */
  readonly variants: readonly Variant[]
  /** A line for each that is missing. */
  readonly notes: readonly string[]
}

/** Those that this machine has. */
export async function openVariants(bench: Bench, parts: { project: Project; views: ViewProcess }): Promise<Variants> {
  const variants: Variant[] = []
  const notes: string[] = []
  const dispose = async () => {
    for (let last = variants.pop(); last !== undefined; last = variants.pop()) await last[Symbol.asyncDispose]()
  }
  try {
    await openEach(bench, parts, { variants, notes })
  } catch (error) {
    await dispose()
    throw error
  }
  return { variants, notes, [Symbol.asyncDispose]: dispose }
}

async function openEach(
  bench: Bench,
  { project, views }: { project: Project; views: ViewProcess },
  { variants, notes }: { variants: Variant[]; notes: string[] },
): Promise<void> {
  const home = join(bench.scratch, 'variants')
  mkdirSync(home)
  const { signal } = bench
  const makers: [string, string | undefined, () => Promise<Variant>][] = [
    [NATIVE, undefined, () => nativeVariant(project, home, signal)],
    ['overlayfs', undefined, () => kernelOverlay(project, home, signal)],
    ['fuse-overlayfs', whyNoFuseOverlay(), () => fuseOverlay(project, home, signal)],
    ['fuse-native', undefined, () => fuseNativeVariant(bench, project, home)],
    [CROFT, undefined, () => croftVariant(CROFT, 'kernel', { views, home })],
  ]
  for (const [name, reason, make] of makers) {
    if (name !== NATIVE && bench.variants.length > 0 && !bench.variants.includes(name)) continue
    if (reason !== undefined) {
      notes.push(`Without ${name}: ${reason}`)
      continue
    }
    bench.progress.show(`setting up ${name}`)
    try {
      variants.push(await make())
    } catch (error) {
      signal.throwIfAborted()
      if (name === NATIVE || name === CROFT) throw error
      notes.push(`Without ${name}: ${error instanceof Error ? error.message : error}`)
    }
  }
}

function whyNoFuseOverlay(): string | undefined {
  if (hasProgram('fuse-overlayfs')) return undefined
  return 'not installed; apt-get install -y --no-install-recommends fuse-overlayfs'
}

/** The same view through the other device, which works on a process's main thread only. */
async function fuseNativeVariant({ scratch }: Bench, project: Project, home: string): Promise<Variant> {
  const viewsHome = join(scratch, 'fuse-native')
  mkdirSync(viewsHome)
  const views = await startViewProcess({ kind: 'in-process', base: project.dir, home: viewsHome })
  try {
    const variant = await croftVariant('fuse-native', 'fuse-native', { views, home })
    return { ...variant, [Symbol.asyncDispose]: () => views[Symbol.asyncDispose]() }
  } catch (error) {
    await views[Symbol.asyncDispose]()
    throw error
  }
}

/** By name in PATH, or by its whole path. */
export function hasProgram(name: string): boolean {
  const paths = name.startsWith('/')
    ? [name]
    : (process.env['PATH'] ?? '').split(':').map((folder) => join(folder, name))
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      // Absent, or not for us: the next folder may have it.
      return false
    }
  })
}
