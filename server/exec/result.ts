import { constants } from 'node:os'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ExecExitSchema, ExecResultSchema } from '../../proto/index.ts'
import type { ExitStatus } from '../../runtimes/contract/agent.ts'
import { durationOf } from '../api/wire-time.ts'
import type { NotStarted } from './not-started.ts'
import { type CappedOutput, outputText } from './output.ts'

export interface Outcome {
  readonly status: Pick<ExitStatus, 'code' | 'signal'> & Partial<Usage>
  readonly stdout: CappedOutput
  readonly stderr: CappedOutput
  readonly durationMs: number
  readonly oomKilled?: boolean
}

/** Absent where nobody counted: of memory, for a command of a shell that is kept. */
type Usage = Pick<ExitStatus, 'cpuUserUs' | 'cpuSystemUs' | 'maxRssBytes'>

/** At most `maxBytes` of stdout, and of stderr. */
export function execResult(
  { status, stdout, stderr, durationMs, oomKilled = false }: Outcome,
  maxBytes: number,
): MessageInitShape<typeof ExecResultSchema> {
  const out = part(stdout, maxBytes)
  const err = part(stderr, maxBytes)
  return {
    stdout: out.text,
    stderr: err.text,
    exitCode: exitCodeOf(status),
    duration: durationOf(durationMs),
    signal: signalName(status.signal),
    stdoutTruncated: out.truncated,
    stderrTruncated: err.truncated,
    ...usageOf(status),
    oomKilled,
    ...(out.bytes === undefined ? {} : { stdoutBytes: out.bytes }),
    ...(err.bytes === undefined ? {} : { stderrBytes: err.bytes }),
  }
}

export function notStartedResult({ exitCode, message }: NotStarted): MessageInitShape<typeof ExecResultSchema> {
  return { stderr: message, exitCode, duration: durationOf(0) }
}

export function execExit({
  status,
  durationMs,
  oomKilled = false,
}: Omit<Outcome, 'stdout' | 'stderr'>): MessageInitShape<typeof ExecExitSchema> {
  return {
    exitCode: exitCodeOf(status),
    signal: signalName(status.signal),
    duration: durationOf(durationMs),
    ...usageOf(status),
    oomKilled,
  }
}

function usageOf({ cpuUserUs, cpuSystemUs, maxRssBytes }: Partial<Usage>) {
  return {
    ...(cpuUserUs === undefined ? {} : { cpuUser: durationOf(cpuUserUs / 1000) }),
    ...(cpuSystemUs === undefined ? {} : { cpuSystem: durationOf(cpuSystemUs / 1000) }),
    ...(maxRssBytes === undefined ? {} : { peakMemoryBytes: BigInt(maxRssBytes) }),
  }
}

/** 128 and the signal's number, as shells have it. */
function exitCodeOf({ code, signal }: Pick<ExitStatus, 'code' | 'signal'>): number {
  return code ?? 128 + (signal ?? 0)
}

function part(output: CappedOutput, maxBytes: number) {
  const all = output.bytes()
  const truncated = output.truncated || all.length > maxBytes
  return { truncated, ...outputText(all.subarray(0, maxBytes), truncated, maxBytes) }
}

/** Empty where it exited by itself. Realtime signals have no names: they are written as numbers. */
function signalName(signal: number | undefined): string {
  if (signal === undefined) return ''
  const found = Object.entries(constants.signals).find(([, number]) => number === signal)
  return found === undefined ? `SIG${signal}` : found[0]
}
