import type { Figure } from './section.ts'

/** With three digits that count, and the unit that suits. */
export function quantity(value: number, unit: Figure['unit']): string {
  if (!Number.isFinite(value)) return '–'
  if (unit === 'ms') return value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`
  if (unit === 'us') return value >= 1000 ? `${digits(value / 1000)} ms` : `${digits(value)} µs`
  if (unit === 'bytes') return value >= MiB ? `${digits(value / MiB)} MiB` : `${digits(value / 1024)} KiB`
  return unit === 'count' ? digits(value) : `${digits(value)}/s`
}

export function ratio(value: number): string {
  return Number.isFinite(value) ? `${digits(value)} ×` : '–'
}

const MiB = 1024 * 1024

function digits(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2)
}
