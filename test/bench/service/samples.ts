import type { Bench } from '../suite.ts'

/** Milliseconds of each call, one after the other. */
export async function timeEach(bench: Bench, count: number, call: (at: number) => Promise<unknown>): Promise<number[]> {
  const samples: number[] = []
  for (let at = 0; at < count; at++) {
    bench.signal.throwIfAborted()
    const beganMs = performance.now()
    await call(at)
    samples.push(performance.now() - beganMs)
  }
  return samples
}

/** How many to measure: enough for a p95, few where it is only to be seen that it works. */
export function sampleCount(bench: Bench, full: number): number {
  return bench.quick ? Math.min(5, full) : full
}
