import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { builtFile } from '../built-file.ts'
import { InternalError } from '../errors.ts'

/** Another program of this package, in the foreground. Throws an `InternalError` where it is missing. */
export function spawnBuilt(program: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  const main = builtFile(program)
  if (!existsSync(main)) {
    throw new InternalError(`The program ${main} is missing`, {
      remedy: 'Build the package with `npm run build`, or install it again',
    })
  }
  return spawn(process.execPath, [main, ...args], { stdio })
}

/**
 * Resolves to the child's exit code, 128 + the signal's number where a signal ended it. Signals to this
 * process go on to the child, which decides when both end.
 */
export async function superviseChild(child: ChildProcess): Promise<number> {
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  // A terminal sends Ctrl-C to the whole group, so the child has it already; to send it again would count as
  // the second one, which is less patient.
  const leaveToChild = () => undefined
  process.on('SIGTERM', forward)
  process.on('SIGHUP', forward)
  process.on('SIGINT', process.stdin.isTTY ? leaveToChild : forward)
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
  } finally {
    process.off('SIGTERM', forward)
    process.off('SIGHUP', forward)
    process.off('SIGINT', leaveToChild)
    process.off('SIGINT', forward)
  }
}
