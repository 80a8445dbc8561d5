import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Argument, type Command } from 'commander'
import { EXECS_AT_ONCE, type ExecSamples, measureExec } from '../../bench/measure-exec.ts'
import { percentile } from '../../bench/percentile.ts'
import { Sandbox } from '../../sandbox.ts'
import { Server } from '../../server.ts'
import { parseCount } from '../arguments.ts'
import { type ServerFlags, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, printTable } from '../report.ts'

interface BenchFlags extends ServerFlags {
  readonly runs: number
  readonly execs: number
}

const DEFAULT_RUNS = 5
const DEFAULT_EXECS = 100
const STARTS_PER_RUN = 5

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure what a command in a sandbox costs on this machine')
    .description(
      'Runs true again and again: in one sandbox, in a session, many at once, and beside that behind a new bubblewrap ' +
        'each time, in alternating runs. Times are from the call to the result.',
    )
    .addArgument(new Argument('<what>', 'what to measure').choices(['exec']))
    .option('--runs <number>', `alternating runs (default: ${DEFAULT_RUNS})`, parseCount, DEFAULT_RUNS)
    .option('--execs <number>', `commands in each run (default: ${DEFAULT_EXECS})`, parseCount, DEFAULT_EXECS)
    .addHelpText(
      'after',
      `
Figures of a machine that does other work mean little; --json has every sample.

Examples:
  croft bench exec
  croft bench exec --runs 10 --json > samples.json`,
    )
  withServerFlags(command).action(async (_what: 'exec', flags: BenchFlags) => {
    const samples = await interruptible((signal) => measure(flags, signal))
    if (flags.json === true) printJson(samples)
    else report(samples)
  })
}

async function measure({ runs, execs, server: address }: BenchFlags, signal: AbortSignal): Promise<ExecSamples> {
  const folder = mkdtempSync(join(tmpdir(), 'croft-bench-cli-'))
  try {
    writeFileSync(join(folder, 'README.md'), 'A folder to measure on.\n')
    await using server = await Server.connect(address ?? {})
    const { codebaseId } = await server.uploadFolder(folder, { cache: false })
    try {
      const create = () => Sandbox.create({ codebase: codebaseId, server, preset: 'development', signal })
      const onRun = (run: number) => process.stderr.write(process.stderr.isTTY ? `run ${run} of ${runs}\r` : '')
      return await measureExec({ create, runs, execs, starts: STARTS_PER_RUN, signal, onRun })
    } finally {
      await server.deleteCodebase(codebaseId)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function report({ start, exec, session, bwrap, perSecond }: ExecSamples): void {
  const beside = percentile(bwrap, 50)
  const row = (what: string, samples: readonly number[], compare = true): string[] => {
    const p50 = percentile(samples, 50)
    const ratio = compare && bwrap.length > 0 ? `${(p50 / beside).toFixed(2)} x` : '-'
    return [ms(p50), ms(percentile(samples, 95)), ms(percentile(samples, 99)), String(samples.length), ratio, what]
  }
  printTable(
    ['P50', 'P95', 'P99', 'SAMPLES', 'BESIDE BWRAP', 'WHAT'],
    [
      row('true in a sandbox', exec),
      row('true in a session', session),
      ...(bwrap.length === 0 ? [] : [row('true behind a new bubblewrap', bwrap)]),
      row('create and start a sandbox', start, false),
    ],
  )
  process.stdout.write(`\n${Math.round(percentile(perSecond, 50))} per second with ${EXECS_AT_ONCE} at once\n`)
  if (bwrap.length === 0) process.stdout.write('There is no bubblewrap that works beside which to measure.\n')
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`
}
