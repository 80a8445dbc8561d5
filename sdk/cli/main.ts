#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { InvalidArgumentError } from '../errors.ts'
import { EXIT_CROFT } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import { reportFailure } from './report.ts'

// Before the first thing that waits, for what stands below that is not there until it is over.
const SIGPIPE = 13

const exitCode = await main(process.argv)
await Promise.all([written(process.stdout), written(process.stderr)])
// Not by running out of work: whoever pipes into us may never close it, and Node 20 may then wait for ever, at full speed,
// for a handle whose end it has missed (`Environment::CleanupHandles`; seen once after a port that was exposed).
process.exit(exitCode)

/** Resolves when all that was printed has been taken, or nobody will. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  // Where nothing waits, another write would only find out that a reader has seen enough.
  if (stream.writableLength === 0) return Promise.resolve()
  return new Promise((resolve) => stream.write('', () => resolve()))
}

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

/** `--json` after `--` is the command's own. */
function afterDashes(argv: readonly string[]): boolean {
  const dashes = argv.indexOf('--')
  return dashes >= 0 && argv.indexOf('--json') > dashes
}

function ownVersion(): string {
  const file = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
