import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from '../child.ts'
import type { Project } from './project.ts'
import type { Variant } from './variant.ts'

/** The kernel's overlayfs over the project, with an upper directory of its own on the same disk. */
export function kernelOverlay(project: Project, home: string, signal: AbortSignal): Promise<Variant> {
  const mount = (options: string, path: string) => ['mount', '-t', 'overlay', 'croft-bench', '-o', options, path]
  return overlayVariant('overlayfs', mount, project, home, signal)
}

/** Debian's fuse-overlayfs, with its defaults. */
export function fuseOverlay(project: Project, home: string, signal: AbortSignal): Promise<Variant> {
  const mount = (options: string, path: string) => ['fuse-overlayfs', '-o', options, path]
  return overlayVariant('fuse-overlayfs', mount, project, home, signal)
}

async function overlayVariant(
  name: string,
  mountCommand: (options: string, path: string) => readonly string[],
  project: Project,
  home: string,
  signal: AbortSignal,
): Promise<Variant> {
  const [path, upper, work] = [name, `${name}-upper`, `${name}-work`].map((each) => join(home, each)) as [
    string,
    string,
    string,
  ]
  let mounted = false

  async function mount(): Promise<void> {
    for (const dir of [path, upper, work]) mkdirSync(dir)
    const [file = '', ...args] = mountCommand(`lowerdir=${project.dir},upperdir=${upper},workdir=${work}`, path)
    await runToEnd(file, args, { signal })
    mounted = true
  }

  async function unmount(): Promise<void> {
    // Also after an interrupt, so without its signal.
    if (mounted) await runToEnd('umount', ['--lazy', path], { signal: new AbortController().signal })
    mounted = false
    for (const dir of [path, upper, work]) rmSync(dir, { recursive: true, force: true })
  }

  await mount()
  return {
    name,
    path,
    async renew() {
      await unmount()
      await mount()
    },
    restore: ({ undo }) => (undo === undefined ? Promise.resolve() : unmount().then(mount)),
    [Symbol.asyncDispose]: unmount,
  }
}
