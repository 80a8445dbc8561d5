import { AgentError, type AgentProcess, type ExitStatus, type SpawnSpec } from '../../runtimes/contract/agent.ts'
import { deferred } from '../concurrency/deferred.ts'
import type { Limits } from '../config/limits.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Command } from './command.ts'
import { timedOutSilently } from './ended-early.ts'
import { type NotStarted, notStarted } from './not-started.ts'
import { watchOom } from './oom.ts'
import { timeoutWithin } from './timeout.ts'

const SIGTERM = 15
const SIGKILL = 9

/** For how many graces at most a command that is over is listened to while its children talk on. */
export const MAX_GRACES = 8

/** A command that runs, with what may end it early attached to it. */
export interface StartedProcess {
  readonly process: AgentProcess
  readonly startedAtMs: number
  /** As the process's own; and resolves without the agent's word where that is overdue after a SIGKILL. */
  readonly exited: Promise<ExitStatus>
  /** Whether it failed for want of memory, as far as that can be told. To be asked when it has ended. */
  readonly oomKilled: (status: ExitStatus) => boolean
  readonly timeoutMs: number
  /** Set when it ran out of time and was told to end. */
  readonly timedOut: () => boolean
  /** Ends the command with all that came from it: SIGTERM, and SIGKILL for what is there still after the grace. */
  readonly kill: () => void
  /** To be called once, when nobody waits for it any more: what it holds goes when it is over. */
  readonly done: () => void
}

/**
 * Starts a command. It is ended when its timeout passes and when the call that asked for it is gone. Resolves
 * to a `NotStarted` where the program itself is at fault: that is a result of the command, not an error.
 */
export async function startProcess(
  running: Running,
  { spec, input, timeout }: Command,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): Promise<StartedProcess | NotStarted> {
  const timeoutMs = timeoutWithin(timeout, running)
  const { outputBytes: maxOutputBytes } = running.limits
  running.beginCommand()
  try {
    await running.prepareCommand(textOf(spec))
  } catch (error) {
    running.endCommand()
    throw error
  }
  const askedAtMs = performance.now()
  const impatient = deferred<undefined>()
  const overdue = deferred<ExitStatus>()
  let process: AgentProcess | undefined
  let timedOut = false
  let killTimer: NodeJS.Timeout | undefined
  const kill = () => {
    if (process === undefined) impatient.resolve(undefined)
    if (process === undefined || killTimer !== undefined) return
    const killed = process
    killed.signal(SIGTERM, 'tree')
    killTimer = setTimeout(() => {
      killed.signal(SIGKILL, 'tree')
      killTimer = setTimeout(() => {
        overdue.resolve(KILLED)
        killTimer = expectEnd(running, limits)
      }, limits.agentAnswerMaxMs)
    }, limits.killGraceMs)
  }
  const timer = setTimeout(() => {
    timedOut = true
    kill()
  }, timeoutMs)
  signal.addEventListener('abort', kill, { once: true })
  const letGo = () => {
    clearTimeout(timer)
    clearTimeout(killTimer)
    signal.removeEventListener('abort', kill)
  }

  const oomWatch = watchOom(running)
  const spawning = running.agent.spawn(maxOutputBytes === undefined ? spec : { ...spec, maxOutputBytes })
  try {
    process = await Promise.race([spawning, impatient.promise])
  } catch (error) {
    letGo()
    running.endCommand()
    if (error instanceof AgentError && error.code === 'spawn') return notStarted(error, spec)
    throw error
  }
  if (process === undefined) {
    letGo()
    const untold = expectEnd(running, limits)
    abandon(spawning, () => {
      clearTimeout(untold)
      running.endCommand()
    })
    if (!timedOut) throw signal.reason
    throw timedOutSilently(timeoutMs, { status: KILLED, durationMs: performance.now() - askedAtMs }, limits)
  }
  const started = process
  if (input !== undefined) feed(started, input)
  if (signal.aborted) kill()

  let over = false
  let finished = false
  const settle = () => {
    over = true
  }
  started.exited.then(settle, settle)
  const exited = Promise.race([started.exited, overdue.promise])
  // Whoever waits gets the reason; a caller that was left early does not wait.
  exited.catch(() => undefined)
  const finish = () => {
    // The command itself heeded SIGTERM; what it had started may not have.
    if (killTimer !== undefined) started.signal(SIGKILL, 'tree')
    finished = true
    letGo()
    running.endCommand()
  }
  return {
    process: started,
    // Not when that was told: of a short command the agent tells start and end together.
    startedAtMs: askedAtMs,
    timeoutMs,
    exited,
    oomKilled: oomWatch,
    timedOut: () => timedOut,
    kill: () => {
      // What it left behind on purpose is no longer this command's to end.
      if (!finished) kill()
    },
    done: () => {
      if (over) finish()
      else started.exited.then(finish, finish)
    },
  }
}

export function isNotStarted(started: StartedProcess | NotStarted): started is NotStarted {
  return 'exitCode' in started
}

/** What is run, for people. */
function textOf({ argv }: SpawnSpec): string {
  const [, option, line] = argv
  return argv.length === 3 && option === '-c' ? String(line) : argv.join(' ')
}

const KILLED: ExitStatus = { signal: SIGKILL, cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 }

/** An agent that answers and never tells the end of what it was told to kill would have the sandbox's commands for ever. */
function expectEnd({ agent }: Running, { commandEndMaxMs }: Limits): NodeJS.Timeout {
  const words = `the end of a command that was killed has not been told for ${commandEndMaxMs / 1000} s`
  return setTimeout(() => agent.distrust(words), commandEndMaxMs).unref()
}

/** Nobody waits for its start any more. Where it starts yet it is killed, and it counts until it is over. */
function abandon(spawning: Promise<AgentProcess>, onOver: () => void): void {
  spawning
    .then((process) => {
      process.stdout.resume()
      process.stderr.resume()
      process.signal(SIGKILL, 'tree')
      return process.exited
    })
    .then(onOver, onOver)
}

/** A command may end, or close its stdin, without having read it all: that is no failure. */
function feed({ stdin }: AgentProcess, input: Buffer): void {
  stdin?.on('error', () => undefined)
  stdin?.end(input)
}
