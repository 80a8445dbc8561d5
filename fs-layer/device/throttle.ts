import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from '../protocol/constants.ts'

/** What may pass between the programs of a mount and its files. Absent: as fast as it goes. */
export interface Bandwidth {
  readonly readBytesPerSecond?: number
  readonly writeBytesPerSecond?: number
}

/** What was not used is saved for so long, so that a pause of a program is no loss to it. */
const SAVED_MS = 100
/** fuse_write_in, before the bytes. */
const WRITE_IN_BYTES = 40

/** One request that was answered. `reply` is what was sent, empty where nothing was yet. */
export interface Passed {
  readonly opcode: number
  readonly requestBytes: number
  readonly reply: Buffer
}

/**
 * For how long a mount has to be left alone after each request, so that what passes stays within its bandwidth. Requests
 * of all kinds wait then: what was answered is paid for by whoever comes next.
 */
export class Throttle {
  readonly #nowMs: () => number
  #bandwidth: Bandwidth = {}
  /** Up to when all that has passed is paid for. */
  #readPaidMs = Number.NEGATIVE_INFINITY
  #writePaidMs = Number.NEGATIVE_INFINITY

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  set(bandwidth: Bandwidth): void {
    this.#bandwidth = bandwidth
  }

  /** Whether anything is limited. */
  get isSet(): boolean {
    return this.#bandwidth.readBytesPerSecond !== undefined || this.#bandwidth.writeBytesPerSecond !== undefined
  }

  /** Milliseconds. */
  waitAfter(passed: Passed): number {
    const { readBytesPerSecond, writeBytesPerSecond } = this.#bandwidth
    const nowMs = this.#nowMs()
    this.#readPaidMs = paidAfter(this.#readPaidMs, bytesRead(passed), readBytesPerSecond, nowMs)
    this.#writePaidMs = paidAfter(this.#writePaidMs, bytesWritten(passed), writeBytesPerSecond, nowMs)
    return Math.max(this.#readPaidMs, this.#writePaidMs, nowMs) - nowMs
  }
}

function paidAfter(paidMs: number, bytes: number, bytesPerSecond: number | undefined, nowMs: number): number {
  if (bytesPerSecond === undefined) return Number.NEGATIVE_INFINITY
  return Math.max(paidMs, nowMs - SAVED_MS) + (bytes * 1000) / bytesPerSecond
}

function bytesRead({ opcode, reply }: Passed): number {
  if (opcode === Opcode.READ) return Math.max(0, reply.length - OUT_HEADER_BYTES)
  return opcode === Opcode.COPY_FILE_RANGE ? copied(reply) : 0
}

function bytesWritten({ opcode, requestBytes, reply }: Passed): number {
  if (opcode === Opcode.WRITE) return Math.max(0, requestBytes - IN_HEADER_BYTES - WRITE_IN_BYTES)
  return opcode === Opcode.COPY_FILE_RANGE ? copied(reply) : 0
}

/** fuse_write_out has the number of bytes first. */
function copied(reply: Buffer): number {
  return reply.length < OUT_HEADER_BYTES + 4 ? 0 : reply.readUInt32LE(OUT_HEADER_BYTES)
}
