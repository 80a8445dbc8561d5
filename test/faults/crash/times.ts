/** How often a crash test crashes: `CROFT_KILLS=10` makes it ten times as often. */
export function crashTimes(times: number): number {
  return Math.round(times * Number(process.env['CROFT_KILLS'] ?? 1))
}

/** As in `test/seed.ts`. A failure prints it. */
export function crashSeed(): number {
  const wanted = process.env['CROFT_SEED'] ?? '20261123'
  return wanted === 'random' ? Date.now() % 2 ** 31 : Number(wanted)
}
