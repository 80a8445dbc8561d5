#!/usr/bin/env node
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { execSuite } from './exec/suite.ts'
import { fsSuite } from './fs/suite.ts'
import { limitsSuite } from './limits/suite.ts'
import { type Options, parseOptions, type SuiteName, USAGE, UsageError } from './options.ts'
import { policySuite } from './policy-suite.ts'
import { describeMachine, type Machine } from './report/machine.ts'
import { createProgress } from './report/progress.ts'
import type { Section } from './report/section.ts'
import { renderSection } from './report/table.ts'
import { runtimesSuite } from './runtimes/suite.ts'
import { serviceSuite } from './service/suite.ts'
import { storeSuite } from './store/suite.ts'
import type { Suite } from './suite.ts'

const SUITE_OF: Record<SuiteName, Suite> = {
  fs: fsSuite,
  exec: execSuite,
  service: serviceSuite,
  runtimes: runtimesSuite,
  limits: limitsSuite,
  policy: policySuite,
  store: storeSuite,
}

const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let options: Options
  try {
    options = parseOptions(args)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`bench: ${error.message}\n`)
    return EXIT_USAGE
  }
  if (options.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted.signal.aborted) return
      process.stderr.write('\nbench: cleaning up\n')
      interrupted.abort(new Error(`interrupted by ${signal}`))
    })
  }
  try {
    await runSuites(options, interrupted.signal)
    return 0
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
    return EXIT_INTERRUPTED
  }
}

async function runSuites(options: Options, signal: AbortSignal): Promise<void> {
  const beganAt = new Date()
  // By its real path: what is mounted there is found under that in the mount table.
  const scratch = mkdtempSync(join(realpathSync(options.scratch ?? tmpdir()), 'croft-bench-'))
  // A sandbox's own user walks through it to its mount.
  chmodSync(scratch, 0o711)
  const progress = createProgress(process.stderr)
  try {
    const machine = describeMachine(scratch)
    if (!options.json) process.stdout.write(`${headline(machine, options)}\n`)
    const suites: { suite: SuiteName; sections: readonly Section[] }[] = []
    for (const suite of options.suites) {
      const dir = join(scratch, suite)
      mkdirSync(dir)
      const { profileDir, project, ...rest } = options
      const sections = await SUITE_OF[suite]({
        ...rest,
        ...(profileDir === undefined ? {} : { profileDir: resolve(profileDir) }),
        ...(project === undefined ? {} : { project: resolve(project) }),
        scratch: dir,
        progress,
        signal,
      })
      progress.clear()
      if (!options.json) for (const section of sections) process.stdout.write(`\n${renderSection(section)}\n`)
      suites.push({ suite, sections })
      rmSync(dir, { recursive: true })
    }
    const report = { date: beganAt.toISOString(), machine, runs: options.runs, quick: options.quick, suites }
    const file = writeReport(options.outDir, beganAt, report)
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `\nAll samples: ${file}\n`)
  } finally {
    progress.clear()
    rmSync(scratch, { recursive: true, force: true })
  }
}

function headline(machine: Machine, { runs, quick }: Options): string {
  const gib = Math.round(machine.memoryBytes / 2 ** 30)
  const how = quick ? 'QUICK: shows that it works, the figures mean nothing' : `${runs} alternating runs`
  return `${machine.cpus} × ${machine.cpu}, ${gib} GiB, Linux ${machine.kernel}, Node ${machine.node}, ${machine.filesystem}, load ${machine.load.toFixed(1)}; ${how}`
}

/** Returns its path. */
function writeReport(dir: string, at: Date, report: unknown): string {
  mkdirSync(dir, { recursive: true })
  const file = join(dir, `${at.toISOString().replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  return file
}
