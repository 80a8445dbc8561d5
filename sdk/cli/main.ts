#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { InvalidArgumentError } from '../errors.ts'
import { EXIT_CROFT } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import { reportFailure } from './report.ts'

process.exitCode = await main(process.argv)
// Whoever pipes into us may never close it; the command has ended.
process.stdin.destroy()

async function main(argv: readonly string[]): Promise<number> {
  // A reader that has seen enough, as `head`: not worth a stack trace.
  process.stdout.on('error', (error) => {
    if ('code' in error && error.code === 'EPIPE') process.exit(128 + SIGPIPE)
    throw error
  })
  const json = argv.includes('--json') && !afterDashes(argv)
  try {
    await buildProgram(ownVersion(), json).parseAsync([...argv])
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportFailure(error, json)
    if (error.exitCode === 0) return 0
    if (json) return reportFailure(new InvalidArgumentError(error.message), json)
    return EXIT_CROFT
  }
}

const SIGPIPE = 13

/** `--json` after `--` is the command's own. */
function afterDashes(argv: readonly string[]): boolean {
  const dashes = argv.indexOf('--')
  return dashes >= 0 && argv.indexOf('--json') > dashes
}

function ownVersion(): string {
  const file = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
