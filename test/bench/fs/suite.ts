import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Section } from '../report/section.ts'
import { type Bench, isChosen } from '../suite.ts'
import { buildClient } from './client.ts'
import { costSection } from './cost-section.ts'
import { countRequests, type RequestCounts } from './count-requests.ts'
import { makeInputs } from './inputs.ts'
import { measureMicro } from './measure-micro.ts'
import { measureNoting, NOTING } from './measure-noting.ts'
import { measureStep, type StepResult } from './measure-steps.ts'
import { measureNeighbours } from './neighbours.ts'
import { makeProject } from './project.ts'
import { microSection, requestSection, stepSection } from './sections.ts'
import { INSTALL, type Step, stepsFor } from './steps.ts'
import { CROFT } from './variant.ts'
import { hasProgram, openVariants } from './variants.ts'
import { startViewProcess } from './view-process.ts'

const MICRO = 'single operations'
const NEIGHBOURS = 'neighbours'

/** Real work and single operations in a view of a real project, beside the same on an ordinary copy and others. */
export async function fsSuite(bench: Bench): Promise<Section[]> {
  const { scratch, signal, progress } = bench
  progress.show('compiling the client')
  const client = await buildClient(scratch, signal)
  progress.show('copying the project')
  const project = await makeProject(join(scratch, 'project'), bench.project, signal)
  const inputs = join(scratch, 'inputs')
  const { hasNpmCache } = await makeInputs(inputs, project, bench)
  const all = stepsFor({ project, client: client.path, inputs, hasNpmCache, quick: bench.quick })
  const steps = all.filter((step) => isChosen(step.name, bench.steps) && missing(step) === undefined)
  const notes = [
    `${project.files} files; the median of ${bench.runs} runs; everything runs as root in the same scratch directory.`,
  ]
  for (const step of all) {
    const lacks = missing(step)
    if (lacks !== undefined) notes.push(`Without ${step.name}: there is no ${lacks}.`)
  }

  if (!hasNpmCache) notes.push(`Without ${INSTALL}: not asked for, no package-lock.json, or npm had no network.`)

  const home = join(scratch, 'views')
  mkdirSync(home)
  const results: StepResult[] = []
  const sections: Section[] = []
  {
    progress.show('taking the project into a store')
    const profile = bench.profileDir === undefined ? {} : { profileDir: bench.profileDir }
    await using views = await startViewProcess({ kind: 'layer', base: project.dir, home, ...profile })
    await using opened = await openVariants(bench, { project, views })
    const { variants } = opened
    for (const step of steps) results.push(await measureStep(bench, step, variants, client))
    const names = variants.map(({ name }) => name)
    if (steps.length > 0) sections.push(stepSection(results, names, [...notes, ...opened.notes]))
    const hasOurs = bench.variants.length === 0 || bench.variants.includes(CROFT)
    if (hasOurs && isChosen(NEIGHBOURS, bench.steps)) sections.push(await measureNeighbours(bench, { views, home }))
    if (isChosen(MICRO, bench.steps)) sections.push(microSection(await measureMicro(bench, variants, client), names))
  }
  const isOurs = bench.variants.length === 0 || bench.variants.includes(CROFT)
  if (isOurs && isChosen(NOTING, bench.steps)) {
    sections.push(await measureNoting(bench, { steps: all, base: project.dir, home, client }))
  }
  const counts = isOurs ? await countRequests(bench, { steps, base: project.dir, home, client }) : NONE
  if (counts.size === 0) return sections
  return [...sections, requestSection(counts), costSection(results, counts)]
}

const NONE: ReadonlyMap<string, RequestCounts> = new Map()

function missing(step: Step): string | undefined {
  return step.needs.find((program) => !hasProgram(program))
}
