import { CommandError } from '../child.ts'
import { median } from '../report/statistics.ts'
import type { Bench } from '../suite.ts'
import type { Client, Timing } from './client.ts'
import type { Step } from './steps.ts'
import type { Variant } from './variant.ts'

/** One run of a step. */
export interface StepTiming extends Timing {
  /** Milliseconds of processor time of whoever serves the variant, where that is not the kernel. */
  readonly serving: number
}

/** Of one step: every run by variant, or why a variant failed. */
export interface StepResult {
  readonly step: Step
  readonly timings: ReadonlyMap<string, readonly StepTiming[]>
  readonly failures: ReadonlyMap<string, string>
}

/** Each run goes through the variants in another order: none always has the others' dirty pages behind it. */
export async function measureStep(
  bench: Bench,
  step: Step,
  variants: readonly Variant[],
  client: Client,
): Promise<StepResult> {
  const timings = new Map<string, StepTiming[]>(variants.map(({ name }) => [name, []]))
  const failures = new Map<string, string>()
  for (const variant of variants) await variant.renew()
  for (let run = 0; run < bench.runs; run++) {
    const order = variants.map((_, at) => variants[(at + run) % variants.length] as Variant)
    for (const variant of order) {
      if (failures.has(variant.name)) continue
      bench.progress.show(`${step.name}: ${variant.name}, run ${run + 1} of ${bench.runs}`)
      try {
        timings.get(variant.name)?.push(await runOnce(step, variant, client, run))
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        failures.set(variant.name, error.message)
      }
      await variant.restore(step)
    }
  }
  return { step, timings, failures }
}

/** A step that changes nothing stays warm from its first run on. */
export async function runOnce(step: Step, variant: Variant, client: Client, run: number): Promise<StepTiming> {
  if (step.prepare !== undefined) await client.time(variant.path, step.prepare)
  if (step.warm === true && run === 0) await client.time(variant.path, step.run)
  const servedBefore = variant.servingMs?.() ?? 0
  const timing = await client.time(variant.path, step.run)
  return { ...timing, serving: (variant.servingMs?.() ?? 0) - servedBefore }
}

/** Milliseconds: the median of a variant's runs. */
export function wallOf({ timings }: StepResult, name: string): number {
  return median((timings.get(name) ?? []).map(({ wall }) => wall))
}
