import { performance } from 'node:perf_hooks'
import type { PathState } from '../../fs-layer/policy/path-state.ts'
import { compilePolicy, type Policy } from '../../fs-layer/policy/policy.ts'
import { createPresetRegistry } from '../../fs-layer/policy/presets.ts'
import type { Rule } from '../../fs-layer/policy/rule.ts'

export interface PolicyFigure {
  readonly name: string
  /** Microseconds a step: the median of the runs. */
  readonly microseconds: number
  /** Of each run. */
  readonly samples: readonly number[]
}

/** What one lookup costs the filesystem for its rules, over the paths of a project of 20,000 files. */
export function measurePolicy(runs = 7): PolicyFigure[] {
  const paths = projectPaths()
  const names = paths.map(({ name }) => Buffer.from(name))
  const policies: [string, readonly Rule[]][] = [
    ['development', createPresetRegistry().findPreset('development').rules],
    ['100 rules, each for an ending of names', endingRules(100)],
    ['100 rules, each for a folder', folderRules(100)],
  ]
  return policies.flatMap(([name, rules]) => {
    const policy = compilePolicy(rules)
    const parents = paths.map(({ above }) => above.reduce((state, part) => policy.step(state, part), policy.root))
    const known = figure(`${name}: known names`, runs, () => stepAll(policy, parents, KNOWN_NAMES))
    const all = figure(`${name}: 20,000 names`, runs, () => stepAll(policy, parents, names))
    return [known, all]
  })
}

/** Names that every project repeats in its folders: what a lookup mostly asks for. */
const KNOWN_NAMES = [
  'index.js',
  'package.json',
  'README.md',
  'index.d.ts',
  'LICENSE',
  'src',
  'lib',
  'node_modules',
].map((name) => Buffer.from(name))

interface ProjectPath {
  readonly above: readonly string[]
  readonly name: string
}

function projectPaths(): ProjectPath[] {
  return Array.from({ length: 20_000 }, (_, number) => ({
    above: [`folder${number % 100}`, 'src', `part${number % 7}`],
    name: `file-${number}.ext${number % 100}`,
  }))
}

function endingRules(count: number): Rule[] {
  return Array.from({ length: count }, (_, number) => ({
    pattern: `**/*.ext${number}`,
    type: 'glob',
    level: number % 2 === 0 ? 'read' : 'write',
  }))
}

function folderRules(count: number): Rule[] {
  return Array.from({ length: count }, (_, number) => ({
    pattern: `folder${number}/**`,
    type: 'glob',
    level: number % 2 === 0 ? 'read' : 'write',
  }))
}

function figure(name: string, runs: number, run: () => number): PolicyFigure {
  run()
  const samples = Array.from({ length: runs }, () => {
    const start = performance.now()
    const steps = run()
    return ((performance.now() - start) * 1000) / steps
  })
  const sorted = samples.toSorted((a, b) => a - b)
  return { name, microseconds: sorted[sorted.length >> 1] ?? Number.NaN, samples }
}

/** Returns the number of steps. Each name is made from bytes, as it is when it comes from the kernel. */
function stepAll(policy: Policy, parents: readonly PathState[], names: readonly Buffer[]): number {
  let levels = 0
  for (const [at, parent] of parents.entries()) {
    const name = names[at % names.length]?.toString('latin1') ?? ''
    levels += policy.step(parent, name).level
  }
  if (levels < 0) throw new RangeError('A level is never negative')
  return parents.length
}
