import { quantity, ratio } from '../report/quantity.ts'
import type { Figure, Section } from '../report/section.ts'
import { geometricMean, median } from '../report/statistics.ts'
import type { RequestCounts } from './count-requests.ts'
import type { MicroResult } from './measure-micro.ts'
import { type StepResult, wallOf } from './measure-steps.ts'
import { CROFT, NATIVE } from './variant.ts'

export function stepSection(
  results: readonly StepResult[],
  variants: readonly string[],
  notes: readonly string[],
): Section {
  const others = variants.filter((name) => name !== NATIVE)
  const rows = results.map((result) => {
    const { step, failures } = result
    const native = wallOf(result, NATIVE)
    const ratios = others.map((name) => (failures.has(name) ? 'failed' : ratio(wallOf(result, name) / native)))
    const verdict = verdictOf(wallOf(result, CROFT) / native, step.target)
    return [step.name, quantity(native, 'ms'), ...ratios, `≤ ${step.target} ×`, verdict]
  })
  const means = others.map((name) => ratio(geometricMean(ratiosOf(results, name))))
  return {
    title: 'Real work in a project, in times of native',
    columns: ['step', 'native', ...others, 'target', ''],
    rows: [
      ...rows,
      ['geometric mean', '', ...means, '≤ 1.25 ×', verdictOf(geometricMean(ratiosOf(results, CROFT)), 1.25)],
    ],
    notes: [
      ...notes,
      ...results.flatMap(({ step, failures }) =>
        [...failures].map(([name, why]) => `${step.name} failed on ${name}: ${why}`),
      ),
    ],
    figures: results.flatMap(({ step, timings }) =>
      [...timings].map(([of, runs]): Figure => {
        const target = of === CROFT ? { target: { atMost: step.target, beside: NATIVE } } : {}
        return { name: step.name, of, unit: 'ms', samples: runs.map(({ wall }) => wall), ...target }
      }),
    ),
  }
}

/** A round trip while the server is awake. */
const ROUND_TRIP_TARGET_US = 20
const ROUND_TRIP_OPERATION = 'missing-name'

export function microSection(result: MicroResult, variants: readonly string[]): Section {
  const rows = [...result].map(([operation, byVariant]) => {
    const native = median(byVariant.get(NATIVE) ?? [])
    const croft = median(byVariant.get(CROFT) ?? [])
    return [
      operation,
      ...variants.map((name) => quantity(median(byVariant.get(name) ?? []), 'us')),
      ratio(croft / native),
    ]
  })
  return {
    title: 'Single operations, one after the other',
    columns: ['operation', ...variants, `${CROFT} to native`],
    rows,
    notes: [
      'Each from a C program, on files of 1 KiB; `first` in a view that was just mounted, while native is warm always.',
      `${ROUND_TRIP_OPERATION} is one round trip of FUSE and nothing else; target ≤ ${ROUND_TRIP_TARGET_US} µs.`,
    ],
    figures: [...result].flatMap(([operation, byVariant]) =>
      [...byVariant].map(([of, samples]): Figure => {
        const isRoundTrip = of === CROFT && operation === ROUND_TRIP_OPERATION
        const target = isRoundTrip ? { target: { atMost: ROUND_TRIP_TARGET_US } } : {}
        return { name: operation, of, unit: 'us', samples, ...target }
      }),
    ),
  }
}

export function requestSection(counts: ReadonlyMap<string, RequestCounts>): Section {
  const rows = [...counts].map(([step, byOpcode]) => {
    const sorted = Object.entries(byOpcode).toSorted(([, a], [, b]) => b - a)
    const total = sorted.reduce((sum, [, count]) => sum + count, 0)
    const most = sorted.slice(0, OPCODES_SHOWN).map(([opcode, count]) => `${opcode} ${count}`)
    return [step, String(total), most.join(', ')]
  })
  return {
    title: 'Requests of the kernel during one run',
    columns: ['step', 'requests', 'most of them'],
    rows,
    notes: ['Counted in a run of their own, in a new view.'],
    figures: [...counts].flatMap(([step, byOpcode]) =>
      Object.entries(byOpcode).map(([opcode, count]): Figure => {
        return { name: `${step}: ${opcode}`, of: CROFT, unit: 'count', samples: [count] }
      }),
    ),
  }
}

const OPCODES_SHOWN = 6

function ratiosOf(results: readonly StepResult[], name: string): number[] {
  return results
    .map((result) => wallOf(result, name) / wallOf(result, NATIVE))
    .filter((value) => Number.isFinite(value))
}

function verdictOf(value: number, target: number): string {
  if (!Number.isFinite(value)) return ''
  return value <= target ? 'met' : 'over'
}
