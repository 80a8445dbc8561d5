import { quantity } from '../report/quantity.ts'
import type { Figure, Section } from '../report/section.ts'
import { median } from '../report/statistics.ts'
import type { RequestCounts } from './count-requests.ts'
import { type StepResult, type StepTiming, wallOf } from './measure-steps.ts'
import { CROFT, NATIVE } from './variant.ts'

/** Of each step in our view: whose processor time it is, and what is left. */
export function costSection(results: readonly StepResult[], counts: ReadonlyMap<string, RequestCounts>): Section {
  const parts = results
    .filter(({ timings }) => (timings.get(CROFT) ?? []).length > 0)
    .map((result) => {
      const of = (name: string, part: keyof StepTiming) =>
        (result.timings.get(name) ?? []).map((timing) => timing[part])
      const requests = Object.values(counts.get(result.step.name) ?? {}).reduce((sum, count) => sum + count, 0)
      const more = wallOf(result, CROFT) - wallOf(result, NATIVE)
      return { name: result.step.name, of, wall: wallOf(result, CROFT), more, requests }
    })
  return {
    title: 'Where the time goes',
    columns: ['step', 'wall', 'its processors, native', 'its processors', 'serving', 'more than native, a request'],
    rows: parts.map(({ name, of, wall, more, requests }) => [
      name,
      quantity(wall, 'ms'),
      quantity(median(of(NATIVE, 'processor')), 'ms'),
      quantity(median(of(CROFT, 'processor')), 'ms'),
      quantity(median(of(CROFT, 'serving')), 'ms'),
      requests === 0 ? '–' : quantity((more * 1000) / requests, 'us'),
    ]),
    notes: [
      'Processor time of the command and all it starts, natively and in a view, and of the process that serves.',
      'What is left of the wall clock is waiting: for a processor to wake up, for the disk, for each other.',
    ],
    figures: parts.flatMap(({ name, of }): Figure[] => [
      { name: `${name}: processor time`, of: NATIVE, unit: 'ms', samples: of(NATIVE, 'processor') },
      { name: `${name}: processor time`, of: CROFT, unit: 'ms', samples: of(CROFT, 'processor') },
      { name: `${name}: serving`, of: CROFT, unit: 'ms', samples: of(CROFT, 'serving') },
    ]),
  }
}
