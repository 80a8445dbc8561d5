import type { AgentError } from '../../runtimes/contract/agent.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import type { Command } from './command.ts'

/** The program could not be started: what a shell would have said, and the code it would have given. */
export interface NotStarted {
  readonly exitCode: number
  readonly message: string
}

/** Throws where it is the request's fault or ours, and not the program's. */
export function notStarted({ errno = '' }: AgentError, { argv, cwd }: Command['spec']): NotStarted {
  const program = printable(String(argv[0]))
  switch (errno) {
    case 'ENOENT':
      return { exitCode: 127, message: `${program}: no such program, or no working directory ${printable(cwd)}\n` }
    case 'EACCES':
    case 'EPERM':
    case 'ENOEXEC':
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ETXTBSY':
      return { exitCode: 126, message: `${program}: cannot be run (${errno})\n` }
    // What only the making of a terminal can meet.
    case 'ENOTTY':
      throw new CroftError('UNIMPLEMENTED', 'start.terminal: the runtime of this sandbox has no terminals', {
        field: 'start.terminal',
        reason: 'unsupported',
      })
    case 'E2BIG':
      throw invalid('argv', 'and env are too large together')
    case 'ENAMETOOLONG':
      throw invalid('argv[0]', 'or workdir is too long')
    default:
      throw new CroftError('RESOURCE_EXHAUSTED', `${program} cannot be started (${errno})`, { reason: errno })
  }
}
