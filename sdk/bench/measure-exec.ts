import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Sandbox } from '../sandbox.ts'

export interface ExecBenchOptions {
  /** A new sandbox, started. The measurement ends it. */
  readonly create: () => Promise<Sandbox>
  /** Of each measurement, alternating. */
  readonly runs: number
  /** In each run. */
  readonly execs: number
  readonly starts: number
  readonly signal: AbortSignal
  /** Called when a run begins; the first is 1. */
  readonly onRun?: (run: number) => void
}

/** Milliseconds of each, from the call to the result in the caller's hands; `perSecond` is a rate of each run. */
export interface ExecSamples {
  /** Create and start. */
  readonly start: readonly number[]
  readonly exec: readonly number[]
  readonly session: readonly number[]
  /** The same program behind a new bubblewrap each time, started from this process. Empty where there is none. */
  readonly bwrap: readonly number[]
  readonly perSecond: readonly number[]
}

/** At one time, for `perSecond`. */
export const EXECS_AT_ONCE = 16

/**
 * Before anything is measured, as many times the calls of a run: what both processes load at their first call is
 * nobody's cost later, and their compilers go on for about a thousand.
 */
const WARM_UP = 16
/** Sixty at once would be over before all sixteen are under way. */
const OF_A_RATE = 8

/** What a command costs: one after the other, in a session, many at once, and beside them a bubblewrap for each. */
export async function measureExec(options: ExecBenchOptions): Promise<ExecSamples> {
  const { create, runs, execs, starts, signal } = options
  const samples = { start: [] as number[], exec: [] as number[], session: [] as number[], bwrap: [] as number[] }
  const perSecond: number[] = []
  await using sandbox = await create()
  await using session = await sandbox.session()
  const exec = () => sandbox.run(['true'], { check: true })
  const plain = (await plainBwrapWorks()) ? runPlainBwrap : undefined
  const inSession = () => session.run('true', { check: true })
  await timeEach(execs * WARM_UP, signal, exec)
  await timeEach(execs * WARM_UP, signal, inSession)
  for (let run = 1; run <= runs; run++) {
    options.onRun?.(run)
    samples.exec.push(...(await timeEach(execs, signal, exec)))
    if (plain !== undefined) samples.bwrap.push(...(await timeEach(execs, signal, plain)))
    samples.session.push(...(await timeEach(execs, signal, inSession)))
    perSecond.push(await rate(execs * OF_A_RATE, signal, exec))
    samples.start.push(...(await timeStarts(starts, signal, create)))
  }
  return { ...samples, perSecond }
}

async function timeStarts(count: number, signal: AbortSignal, create: () => Promise<Sandbox>): Promise<number[]> {
  const samples: number[] = []
  for (let at = 0; at < count; at++) {
    signal.throwIfAborted()
    const beganMs = performance.now()
    const sandbox = await create()
    samples.push(performance.now() - beganMs)
    await sandbox.kill()
  }
  return samples
}

async function timeEach(count: number, signal: AbortSignal, call: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = []
  for (let at = 0; at < count; at++) {
    signal.throwIfAborted()
    const beganMs = performance.now()
    await call()
    samples.push(performance.now() - beganMs)
  }
  return samples
}

async function rate(count: number, signal: AbortSignal, call: () => Promise<unknown>): Promise<number> {
  let left = count
  const beganMs = performance.now()
  const oneAfterTheOther = async () => {
    for (; left > 0 && !signal.aborted; ) {
      left -= 1
      await call()
    }
  }
  await Promise.all(Array.from({ length: EXECS_AT_ONCE }, oneAfterTheOther))
  signal.throwIfAborted()
  return (count * 1000) / (performance.now() - beganMs)
}

/** The least that makes a boundary like a sandbox's. */
const PLAIN_BWRAP = [
  ...['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--clearenv'],
  ...['--ro-bind', '/usr', '/usr', '--symlink', 'usr/bin', '/bin', '--symlink', 'usr/lib', '/lib'],
  ...['--symlink', 'usr/lib64', '/lib64', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '/usr/bin/true'],
]

async function plainBwrapWorks(): Promise<boolean> {
  try {
    await runPlainBwrap()
    return true
  } catch (error) {
    if (error instanceof BwrapFailure) return false
    throw error
  }
}

class BwrapFailure extends Error {
  override readonly name = 'BwrapFailure'
}

async function runPlainBwrap(): Promise<void> {
  const child = spawn('bwrap', PLAIN_BWRAP, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.resume()
  child.stderr.resume()
  const failed = once(child, 'error').then(([error]) => {
    throw new BwrapFailure('cannot be started', { cause: error })
  })
  const closed = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new BwrapFailure(`ended with ${code}`)
  })
  await Promise.race([closed, failed])
}
