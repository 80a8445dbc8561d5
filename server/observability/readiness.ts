/** Whether calls can be answered now, and if not, what stands in the way. */
export interface Readiness {
  readonly ready: boolean
  /** By name: `ok`, or what is wrong. */
  readonly checks: Readonly<Record<string, string>>
}

/** Each answers with what is wrong, or with nothing. */
export type Checks = Readonly<Record<string, () => Promise<string | undefined>>>

export async function readinessOf(checks: Checks): Promise<Readiness> {
  const found = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => [name, (await check()) ?? 'ok'] as const),
  )
  return { ready: found.every(([, outcome]) => outcome === 'ok'), checks: Object.fromEntries(found) }
}
