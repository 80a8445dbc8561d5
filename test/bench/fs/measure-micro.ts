import type { Bench } from '../suite.ts'
import type { Client } from './client.ts'
import { EXTRA_DIR } from './project.ts'
import type { Variant } from './variant.ts'

/** Microseconds of one operation, by operation and variant. */
export type MicroResult = Map<string, Map<string, number[]>>

/** Every run begins with a new view. */
export async function measureMicro(bench: Bench, variants: readonly Variant[], client: Client): Promise<MicroResult> {
  const result: MicroResult = new Map()
  const undo = `rm -rf ${EXTRA_DIR} && cp -a "$PRISTINE/${EXTRA_DIR}" .`
  for (const variant of variants) await variant.renew()
  for (let run = 0; run < bench.runs; run++) {
    const order = variants.map((_, at) => variants[(at + run) % variants.length] as Variant)
    for (const variant of order) {
      bench.progress.show(`single operations: ${variant.name}, run ${run + 1} of ${bench.runs}`)
      for (const [operation, ns] of await client.micro(variant.path, bench.quick ? 100 : 1000)) {
        const byVariant = result.get(operation) ?? new Map<string, number[]>()
        result.set(operation, byVariant)
        byVariant.set(variant.name, [...(byVariant.get(variant.name) ?? []), ns / 1000])
      }
      await variant.restore({ undo })
    }
  }
  return result
}
