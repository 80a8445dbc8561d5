import { measurePolicy } from './policy.ts'
import { quantity } from './report/quantity.ts'
import type { Section } from './report/section.ts'
import type { Bench } from './suite.ts'

const TARGET_US = 2

export async function policySuite(bench: Bench): Promise<Section[]> {
  bench.progress.show('policy')
  const figures = measurePolicy(bench.runs)
  return [
    {
      title: 'One step of a path through the rules',
      columns: ['rules and names', 'median', 'target'],
      rows: figures.map(({ name, microseconds }) => [name, quantity(microseconds, 'us'), `≤ ${TARGET_US} µs`]),
      notes: ['Names come as bytes, as from the kernel.'],
      figures: figures.map(({ name, samples }) => ({
        name,
        of: 'croft',
        unit: 'us',
        samples,
        target: { atMost: TARGET_US },
      })),
    },
  ]
}
