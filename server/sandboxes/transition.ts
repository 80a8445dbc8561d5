import { CroftError, notRunning } from '../errors/croft-error.ts'
import type { SandboxRecord } from '../records/record-types.ts'

export type SandboxEvent =
  | { readonly type: 'started' }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'destroyed' }

/**
 * The life of a sandbox: pending → running → stopped → running …, each of them → error → running, and
 * everything → destroyed. The only place where a status changes; throws FAILED_PRECONDITION where it may not.
 */
export function transition(record: SandboxRecord, event: SandboxEvent, nowMs: number): SandboxRecord {
  const { error: _, ...rest } = record
  switch (event.type) {
    case 'started':
      checkStartable(record)
      return { ...rest, status: 'running', startedAtMs: nowMs }
    case 'stopped':
      checkStoppable(record)
      return { ...rest, status: 'stopped', stoppedAtMs: nowMs }
    case 'failed':
      checkAlive(record)
      return { ...rest, status: 'error', error: event.reason, stoppedAtMs: nowMs }
    case 'destroyed':
      return { ...rest, status: 'destroyed' }
  }
}

export function checkStartable(record: SandboxRecord): void {
  checkAlive(record)
  if (record.status === 'running') {
    throw new CroftError('FAILED_PRECONDITION', `sandbox ${record.id} is running already`, { reason: 'running' })
  }
}

export function checkStoppable(record: SandboxRecord): void {
  if (record.status !== 'running') throw notRunning(record.id, record.status)
}

function checkAlive(record: SandboxRecord): void {
  if (record.status === 'destroyed') {
    throw new CroftError('FAILED_PRECONDITION', `sandbox ${record.id} is being destroyed`, { reason: 'destroyed' })
  }
}
