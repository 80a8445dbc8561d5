import { ConfigError } from '../config/config-error.ts'
import { parseFlags } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/locations.ts'
import { verifyAudit } from './verify.ts'

const AUDIT_USAGE = `Usage: croft audit verify [FILE] [options of croft serve]

Says whether an audit log, with its earlier files beside it, is as it was written: no line changed, none taken out or put
in. Without FILE it is the one of the settings. Exit code 1 where it is not. Lines that are missing at its end, and a log
that was written anew from its beginning, show only beside a number and hash that were noted before: the server logs
both when it starts and ends.
`

/** Prints through `say`; resolves with whether the log is whole. Throws a `ConfigError` for what cannot be asked. */
export async function auditCommand(
  [what, ...args]: readonly string[],
  surroundings: Surroundings,
  say: (text: string) => void,
): Promise<boolean> {
  if (what === undefined || what === '--help' || what === '-h' || args.includes('--help')) {
    say(AUDIT_USAGE)
    return true
  }
  if (what !== 'verify') throw new ConfigError(`there is no \`croft audit ${what}\`: there is verify`)
  const file = fileOf(args, surroundings)
  const { lines, first, head, problem, torn } = await verifyAudit(file)
  if (problem !== undefined) {
    say(`${problem.file}:${problem.line}: ${problem.what}\n`)
    return false
  }
  if (head === undefined) {
    say(`${file}: nothing was written yet\n`)
    return true
  }
  say(`${file}: lines ${first} to ${head.n}, ${lines} in all, are as they were written; the last has ${head.hash}\n`)
  if (torn) say('behind them is the beginning of another one, as a crash leaves it; the next start takes it away\n')
  return true
}

function fileOf(args: readonly string[], surroundings: Surroundings): string {
  const [first] = args
  if (first !== undefined && !first.startsWith('-')) return first
  const { settings, configFile: file } = parseFlags(args)
  const { audit } = loadConfig({ flags: settings, ...(file === undefined ? {} : { file }), ...surroundings })
  if (audit.file === undefined) throw new ConfigError('`audit.file` is not set: name the file')
  return audit.file
}
