import { openShell, type Shell, ShellError } from '../../runtimes/agent/shell.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import type { Running } from '../sandboxes/running.ts'

/** For whoever names none: the first that is there. */
const DEFAULT_SHELLS = ['/bin/bash', '/bin/sh']

/** `wanted` empty: bash where there is one, else sh. Throws INVALID_ARGUMENT naming `shell` where it is no shell. */
export async function startShell(
  { agent, parts: { cwd } }: Running,
  wanted: string,
  env: Readonly<Record<string, string>>,
  limits: Limits,
): Promise<{ shell: Shell; path: string }> {
  let failure: ShellError | undefined
  for (const path of wanted === '' ? DEFAULT_SHELLS : [wanted]) {
    try {
      const options = {
        shell: path,
        env: { ...env, SHELL: path },
        cwd,
        endTimeoutMs: limits.agentAnswerMaxMs,
      }
      return { path, shell: await openShell(agent, options) }
    } catch (error) {
      if (!(error instanceof ShellError)) throw error
      failure = error
    }
  }
  if (wanted !== '') throw invalid('shell', printable(`cannot be used: ${failure?.message}`), failure)
  throw new CroftError('FAILED_PRECONDITION', 'the sandbox has no shell that can be kept', { cause: failure })
}
