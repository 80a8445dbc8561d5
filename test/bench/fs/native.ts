import { join } from 'node:path'
import { runToEnd } from '../child.ts'
import type { Project } from './project.ts'
import { NATIVE, type Variant } from './variant.ts'

/** An ordinary copy of the project. */
export async function nativeVariant(project: Project, home: string, signal: AbortSignal): Promise<Variant> {
  const path = join(home, NATIVE)
  await runToEnd('cp', ['-a', project.dir, path], { signal })
  return {
    name: NATIVE,
    path,
    // A copy of everything would take longer than most steps do: each step undoes what it did.
    renew: async () => undefined,
    async restore({ undo }) {
      if (undo === undefined) return
      const env = { ...process.env, PRISTINE: project.dir }
      await runToEnd('sh', ['-c', undo], { signal, cwd: path, env })
    },
    // Its files are in the scratch directory.
    [Symbol.asyncDispose]: async () => undefined,
  }
}
