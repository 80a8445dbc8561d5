import { join } from 'node:path'
import { CommandError } from '../child.ts'
import type { Bench } from '../suite.ts'
import type { Client } from './client.ts'
import { croftVariant } from './croft.ts'
import { runOnce } from './measure-steps.ts'
import type { Step } from './steps.ts'
import { startViewProcess } from './view-process.ts'

/** Requests of the kernel during one run, by opcode; those that did not come are left out. */
export type RequestCounts = Readonly<Record<string, number>>

/** One more run of each step, in a process that counts. Its times are not used. */
export async function countRequests(
  bench: Bench,
  { steps, base, home, client }: { steps: readonly Step[]; base: string; home: string; client: Client },
): Promise<Map<string, RequestCounts>> {
  const counted = new Map<string, RequestCounts>()
  await using views = await startViewProcess({ kind: 'in-process', base, home })
  const variant = await croftVariant('counted', 'kernel', { views, home: join(bench.scratch, 'variants') })
  for (const step of steps) {
    bench.progress.show(`counting the requests of: ${step.name}`)
    await variant.renew()
    let before: RequestCounts = {}
    const counting: Client = {
      ...client,
      // The last command of a run is the measured one.
      async time(dir, command) {
        before = (await views.call({ op: 'counts', view: variant.name })) as RequestCounts
        return await client.time(dir, command)
      },
    }
    try {
      await runOnce(step, variant, counting, 0)
    } catch (error) {
      // The step's own row says that it failed.
      if (error instanceof CommandError) continue
      throw error
    }
    const after = (await views.call({ op: 'counts', view: variant.name })) as RequestCounts
    const differences = Object.entries(after).map(([opcode, count]) => [opcode, count - (before[opcode] ?? 0)] as const)
    counted.set(step.name, Object.fromEntries(differences.filter(([, count]) => count > 0)))
  }
  return counted
}
