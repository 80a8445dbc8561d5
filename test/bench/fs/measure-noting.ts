import { join } from 'node:path'
import { quantity, ratio } from '../report/quantity.ts'
import type { Figure, Section } from '../report/section.ts'
import { median } from '../report/statistics.ts'
import type { Bench } from '../suite.ts'
import type { Client } from './client.ts'
import { croftVariant } from './croft.ts'
import { measureMicro } from './measure-micro.ts'
import { measureStep } from './measure-steps.ts'
import { measureCalls } from './noting-calls.ts'
import { takeIn } from './served-views.ts'
import type { Step } from './steps.ts'
import { startViewProcess } from './view-process.ts'

/** As it is in `--step`. */
export const NOTING = 'trail and events'

const WITH = 'with'
const WITHOUT = 'without'
/** Steps that ask us for much: what the kernel answers itself costs nothing more. */
const BUSY = ['tar -x', 'cp -a', 'rm -rf of what was just written', 'git checkout of another commit']

/**
 * What the access trail and the events cost: the same work in a view that notes them and in one that does not, served by
 * one process, side by side. The ratio is the median of those of the pairs, so that what changes from run to run
 * counts for both.
 */
export async function measureNoting(
  bench: Bench,
  { steps, base, home, client }: { steps: readonly Step[]; base: string; home: string; client: Client },
): Promise<Section> {
  const measured: Measured[] = []
  // Before the process that serves begins: the store has one process at a time.
  for (const [name, samples] of await measureCalls(bench, await takeIn(base, home), home)) {
    measured.push({ name: `${name}, the call alone`, unit: 'us', samples })
  }
  await using views = await startViewProcess({ kind: 'in-process', base, home })
  const parts = { views, home: join(bench.scratch, 'variants') }
  const variants = [
    await croftVariant(WITHOUT, 'kernel', { ...parts, observed: false }),
    await croftVariant(WITH, 'kernel', parts),
  ]
  for (const [name, samples] of await measureMicro(bench, variants, client))
    measured.push({ name, unit: 'us', samples })
  for (const step of steps.filter(({ name }) => BUSY.includes(name))) {
    const { timings } = await measureStep(bench, step, variants, client)
    const samples = new Map([...timings].map(([name, runs]) => [name, runs.map(({ wall }) => wall)]))
    measured.push({ name: step.name, unit: 'ms', samples })
  }
  return section(measured)
}

interface Measured {
  readonly name: string
  readonly unit: 'us' | 'ms'
  readonly samples: ReadonlyMap<string, readonly number[]>
}

function section(measured: readonly Measured[]): Section {
  return {
    title: 'What the access trail and the events cost',
    columns: ['', WITHOUT, WITH, 'ratio of the pairs'],
    rows: measured.map(({ name, unit, samples }) => [
      name,
      quantity(median(samples.get(WITHOUT) ?? []), unit),
      quantity(median(samples.get(WITH) ?? []), unit),
      ratio(median(pairs(samples))),
    ]),
    notes: [
      'The call alone: processor time of the call of a view, with no kernel between. Others: by the clock, from outside.',
      'Both always in one process; how far the ratios of others are from 1, either way, is the noise of the machine.',
    ],
    figures: measured.flatMap(({ name, unit, samples }) =>
      [...samples].map(([of, values]): Figure => ({ name: `${NOTING}: ${name}`, of, unit, samples: values })),
    ),
  }
}

function pairs(samples: ReadonlyMap<string, readonly number[]>): number[] {
  const without = samples.get(WITHOUT) ?? []
  return (samples.get(WITH) ?? []).map((value, run) => value / (without[run] ?? Number.NaN))
}
