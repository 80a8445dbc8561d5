import { parseArgs } from 'node:util'
import { VARIANTS } from './fs/variant.ts'

export const SUITES = ['fs', 'exec', 'service', 'runtimes', 'limits', 'policy', 'store'] as const
export type SuiteName = (typeof SUITES)[number]

export const USAGE = `Usage: npm run bench -- [SUITE…] [options]

Suites: ${SUITES.join(', ')}, all (default: all)

  --runs N          runs of each measurement, alternating (default: 5, with --quick 1)
  --quick           few samples and small inputs: shows that it works, gives no figures
  --json            print the results as JSON and nothing else
  --out DIR         where the JSON goes (default: bench-results)
  --scratch DIR     where to work (default: the directory for temporary files)
  --project DIR     a folder to work on in place of this repository (fs)
  --variant NAME    only this beside native: overlayfs, fuse-overlayfs, fuse-native, croft
                    (fs; repeatable)
  --step NAME       only steps with this in their name (fs, service, limits; repeatable), or these runtimes
  --profile DIR     leave CPU profiles of the filesystem's process there (fs)
  --help
`

export interface Options {
  readonly suites: readonly SuiteName[]
  readonly runs: number
  readonly quick: boolean
  readonly json: boolean
  readonly help: boolean
  readonly outDir: string
  readonly scratch?: string
  readonly project?: string
  readonly profileDir?: string
  readonly variants: readonly string[]
  readonly steps: readonly string[]
}

/** A command line that makes no sense; the message says which word of it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const DEFAULT_RUNS = 5
export const MAX_RUNS = 1000

/** Throws a `UsageError`. */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args)
  const quick = values.quick === true
  return {
    suites: suitesOf(positionals),
    runs: values.runs === undefined ? (quick ? 1 : DEFAULT_RUNS) : runsOf(values.runs),
    quick,
    json: values.json === true,
    help: values.help === true,
    outDir: values.out ?? 'bench-results',
    ...(values.scratch === undefined ? {} : { scratch: values.scratch }),
    ...(values.project === undefined ? {} : { project: values.project }),
    ...(values.profile === undefined ? {} : { profileDir: values.profile }),
    variants: variantsOf(values.variant ?? []),
    steps: values.step ?? [],
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: { type: 'string' },
        quick: { type: 'boolean' },
        json: { type: 'boolean' },
        out: { type: 'string' },
        scratch: { type: 'string' },
        project: { type: 'string' },
        profile: { type: 'string' },
        variant: { type: 'string', multiple: true },
        step: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function suitesOf(words: readonly string[]): SuiteName[] {
  const stray = words.find((word) => word !== 'all' && !SUITES.some((suite) => suite === word))
  if (stray !== undefined) throw new UsageError(`there is no suite ${stray}; there are ${SUITES.join(', ')} and all`)
  return SUITES.filter((suite) => words.length === 0 || words.includes('all') || words.includes(suite))
}

function variantsOf(words: readonly string[]): readonly string[] {
  const stray = words.find((word) => !VARIANTS.some((variant) => variant === word))
  if (stray !== undefined) throw new UsageError(`--variant ${stray} is none of ${VARIANTS.join(', ')}`)
  return words
}

function runsOf(text: string): number {
  const runs = /^\d+$/.test(text) ? Number(text) : 0
  if (runs < 1 || runs > MAX_RUNS) throw new UsageError(`--runs ${text} is not a whole number from 1 to ${MAX_RUNS}`)
  return runs
}
