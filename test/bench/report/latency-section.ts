import { quantity, ratio } from './quantity.ts'
import type { Figure, Section } from './section.ts'
import { percentile } from './statistics.ts'

/** A table of p50 and p95; a figure's ratio is to the one of the same name whose `of` its target names. */
export function latencySection(title: string, figures: readonly Figure[], notes: readonly string[]): Section {
  return {
    title,
    columns: ['what', 'of', 'samples', 'p50', 'p95', 'p99', 'target (p50)', ''],
    rows: figures.map((figure) => rowOf(figure, figures)),
    notes,
    figures,
  }
}

function rowOf(figure: Figure, figures: readonly Figure[]): string[] {
  const { name, of, samples, unit } = figure
  const at = (percent: number) => quantity(percentile(samples, percent), unit)
  return [name, of, String(samples.length), at(50), at(95), at(99), ...targetCells(figure, figures)]
}

function targetCells({ name, samples, unit, target }: Figure, figures: readonly Figure[]): [string, string] {
  if (target === undefined) return ['', '']
  const beside = figures.find((each) => each.name === name && each.of === target.beside)
  const show = (value: number) =>
    target.beside === undefined ? quantity(value, unit) : `${ratio(value)} ${target.beside}`
  const value = percentile(samples, 50) / (beside === undefined ? 1 : percentile(beside.samples, 50))
  const { atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY } = target
  const text = Number.isFinite(atMost) ? `≤ ${show(atMost)}` : `≥ ${show(atLeast)}`
  const met = value <= atMost && value >= atLeast
  return [text, `${met ? 'met' : 'over'}${beside === undefined ? '' : ` (${ratio(value)})`}`]
}
