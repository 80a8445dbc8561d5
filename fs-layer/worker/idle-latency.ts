import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { IDLE_LATENCY_PROCESSORS_MAX } from './limits.ts'

/**
 * How deeply processors may sleep while a view is in use. One that serves and one that asks wait for each other in turn,
 * and waking an idle processor of a virtual machine takes 20 to 50 µs, several times what it is woken for. The
 * kernel lets the right to say so be had through `/dev/cpu_dma_latency` (Documentation/power/pm_qos_interface.rst): what
 * is written there holds until something else is, or the descriptor is closed, however its process ends.
 *
 * It holds for all processors of the machine, so it is used only where they are few.
 */
export interface IdleLatency {
  /** Processors may not sleep more deeply than it takes to serve one request. */
  limit(): void
  /** They may as they like. */
  unlimit(): void
}

/** What a thread needs to set it: a descriptor of the process's, and the limit in microseconds. */
export interface IdleLatencyRequest {
  readonly fd: number
  readonly limitUs: number
}

/** Null where there is nothing to gain or no right to it. Whoever opened it closes it. */
export function openIdleLatencyRequest(): IdleLatencyRequest | null {
  if (availableParallelism() > IDLE_LATENCY_PROCESSORS_MAX) return null
  try {
    const driver = readFileSync('/sys/devices/system/cpu/cpuidle/current_driver', 'latin1').trim()
    // A guest's one idle state is to give its processor back to the host; only 0 leaves that out.
    const limitUs = driver === 'haltpoll' ? 0 : SHALLOW_US
    return { fd: openSync(DEVICE, constants.O_WRONLY), limitUs }
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (['ENOENT', 'EACCES', 'EPERM', 'EROFS', 'ENXIO', 'ENODEV'].includes(code)) return null
    throw error
  }
}

export function closeIdleLatencyRequest(request: IdleLatencyRequest | null): void {
  if (request !== null) closeSync(request.fd)
}

export function idleLatency(request: IdleLatencyRequest | null): IdleLatency {
  if (request === null) return { limit: () => undefined, unlimit: () => undefined }
  const limited = Buffer.alloc(4)
  limited.writeInt32LE(request.limitUs)
  const unlimited = Buffer.alloc(4)
  unlimited.writeInt32LE(NO_LIMIT_US)
  return {
    limit: () => void writeSync(request.fd, limited),
    unlimit: () => void writeSync(request.fd, unlimited),
  }
}

const DEVICE = '/dev/cpu_dma_latency'
/** The first sleeping state of ordinary processors (C1) is left in 1 to 2 µs, the next ones in tens and hundreds. */
const SHALLOW_US = 2
/** The kernel's own word for it (PM_QOS_CPU_LATENCY_DEFAULT_VALUE). */
const NO_LIMIT_US = 2_000_000_000
