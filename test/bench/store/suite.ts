import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { type Bench, isChosen } from '../suite.ts'
import { measureImports } from './imports.ts'
import { measureMounts } from './mounts.ts'

/** What a codebase costs before anybody looks at it. */
export async function storeSuite(bench: Bench): Promise<Section[]> {
  const figures: Figure[] = []
  if (isChosen('imports', bench.steps)) figures.push(...(await measureImports(bench)))
  if (isChosen('mounts', bench.steps)) figures.push(...(await measureMounts(bench)))
  return [
    latencySection('Store and mounts', figures, ['Memory: growth of the resident set of the process that serves.']),
  ]
}
