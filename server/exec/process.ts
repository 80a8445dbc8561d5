import { AgentError, type AgentProcess, type ExitStatus } from '../../runtimes/contract/agent.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Command } from './command.ts'

const SIGTERM = 15
const SIGKILL = 9

/** For how many graces at most a command that is over is listened to while its children talk on. */
export const MAX_GRACES = 8

/** A command that runs, with what may end it early attached to it. */
export interface StartedProcess {
  readonly process: AgentProcess
  readonly startedAtMs: number
  /** Set when it ran out of time and was told to end. */
  readonly timedOut: () => boolean
  /** Ends the command with all that came from it: SIGTERM, and SIGKILL for what is there still after the grace. */
  readonly kill: () => void
  /** To be called once, when it is over: the timers go. */
  readonly done: () => void
}

/**
 * Starts a command. It is ended when its timeout passes and when the call that asked for it is gone. Resolves
 * to a `NotStarted` where the program itself is at fault: that is a result of the command, not an error.
 */
export async function startProcess(
  running: Running,
  { spec, input, timeoutMs }: Command,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): Promise<StartedProcess | NotStarted> {
  running.beginCommand()
  let process: AgentProcess
  try {
    process = await running.agent.spawn(spec)
  } catch (error) {
    running.endCommand()
    if (error instanceof AgentError && error.code === 'spawn') return notStarted(error, spec)
    throw error
  }
  const startedAtMs = performance.now()
  if (input !== undefined) feed(process, input)

  let timedOut = false
  let killTimer: NodeJS.Timeout | undefined
  const kill = () => {
    if (killTimer !== undefined) return
    process.signal(SIGTERM, 'tree')
    killTimer = setTimeout(() => process.signal(SIGKILL, 'tree'), limits.killGraceMs)
  }
  const timer = setTimeout(() => {
    timedOut = true
    kill()
  }, timeoutMs)
  signal.addEventListener('abort', kill, { once: true })
  if (signal.aborted) kill()

  return {
    process,
    startedAtMs,
    timedOut: () => timedOut,
    kill,
    done: () => {
      clearTimeout(timer)
      if (killTimer !== undefined) {
        clearTimeout(killTimer)
        // The command itself heeded SIGTERM; what it had started may not have.
        process.signal(SIGKILL, 'tree')
      }
      signal.removeEventListener('abort', kill)
      running.endCommand()
    },
  }
}

/** The program could not be started: what a shell would have said, and the code it would have given. */
export interface NotStarted {
  readonly exitCode: number
  readonly message: string
}

export function isNotStarted(started: StartedProcess | NotStarted): started is NotStarted {
  return 'exitCode' in started
}

/** 128 and the signal's number, as shells have it. */
export function exitCodeOf({ code, signal }: ExitStatus): number {
  return code ?? 128 + (signal ?? 0)
}

function notStarted({ errno = '' }: AgentError, { argv, cwd }: Command['spec']): NotStarted {
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
    case 'E2BIG':
      throw invalid('argv', 'and env are too large together')
    case 'ENAMETOOLONG':
      throw invalid('argv[0]', 'or workdir is too long')
    default:
      throw new CroftError('RESOURCE_EXHAUSTED', `${program} cannot be started (${errno})`, { reason: errno })
  }
}

/** A command may end, or close its stdin, without having read it all: that is no failure. */
function feed({ stdin }: AgentProcess, input: Buffer): void {
  stdin?.on('error', () => undefined)
  stdin?.end(input)
}
