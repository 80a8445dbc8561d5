import { CommandError } from '../child.ts'
import type { Bench } from '../suite.ts'
import type { Client } from './client.ts'
import type { Step } from './steps.ts'
import type { Variant } from './variant.ts'

/** Of one step: samples in milliseconds by variant, or why a variant failed. */
export interface StepResult {
  readonly step: Step
  readonly samples: ReadonlyMap<string, readonly number[]>
  readonly failures: ReadonlyMap<string, string>
}

/** Each run goes through the variants in another order: none always has the others' dirty pages behind it. */
export async function measureStep(
  bench: Bench,
  step: Step,
  variants: readonly Variant[],
  client: Client,
): Promise<StepResult> {
  const samples = new Map<string, number[]>(variants.map(({ name }) => [name, []]))
  const failures = new Map<string, string>()
  for (const variant of variants) await variant.renew()
  for (let run = 0; run < bench.runs; run++) {
    const order = variants.map((_, at) => variants[(at + run) % variants.length] as Variant)
    for (const variant of order) {
      if (failures.has(variant.name)) continue
      bench.progress.show(`${step.name}: ${variant.name}, run ${run + 1} of ${bench.runs}`)
      try {
        samples.get(variant.name)?.push(await runOnce(step, variant, client, run))
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        failures.set(variant.name, error.message)
      }
      await variant.restore(step)
    }
  }
  return { step, samples, failures }
}

/** Milliseconds. A step that changes nothing stays warm from its first run on. */
export async function runOnce(step: Step, variant: Variant, client: Client, run: number): Promise<number> {
  if (step.prepare !== undefined) await client.time(variant.path, step.prepare)
  if (step.warm === true && run === 0) await client.time(variant.path, step.run)
  return await client.time(variant.path, step.run)
}
