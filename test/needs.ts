import type { TestContext } from 'vitest'
import { type Need, probes } from './probes.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Why the test was skipped; read from the report by .ci/report.mjs, which tries the probe again. */
    skipped?: { readonly need: Need; readonly reason: string }
  }
}

/**
 * Skips the test where the machine lacks one of the needs, saying which and why. For a whole suite:
 * `beforeEach((context) => needs(context, 'fuse'))`.
 *
 * This and `lacks` are the only ways to skip: one that gives no need, or a need that the machine has, fails the run of
 * .ci/run.
 */
export async function needs(context: TestContext, ...wanted: readonly Need[]): Promise<void> {
  for (const need of wanted) {
    const reason = await lack(need)
    if (reason === undefined) continue
    context.task.meta.skipped = { need, reason }
    context.skip(`needs ${need}: ${reason}`)
  }
}

/** Skips a case of a contract that the part under test cannot fulfil on any machine, saying what it lacks. */
export function lacks(context: TestContext, ability: string): void {
  context.task.meta.skipped = { need: 'ability', reason: ability }
  context.skip(`lacks ${ability}`)
}

/** For a `beforeAll`, which cannot skip: whether its set-up makes sense. */
export async function has(...wanted: readonly Need[]): Promise<boolean> {
  const reasons = await Promise.all(wanted.map(lack))
  return reasons.every((reason) => reason === undefined)
}

const found = new Map<Need, Promise<string | undefined>>()

function lack(need: Need): Promise<string | undefined> {
  let answer = found.get(need)
  if (answer === undefined) {
    answer = probes[need]()
    found.set(need, answer)
  }
  return answer
}
