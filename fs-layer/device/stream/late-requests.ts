import { MAX_LATE_BYTES, MAX_LATE_REQUESTS } from './limits.ts'

/** The requests that are to be answered and have not been: each may hold its bytes until then. */
export interface LateRequests {
  /** False: there is one of that number already. */
  add(unique: string, bytes: number): boolean
  answered(unique: string): void
  /** No more are to be read. */
  readonly full: boolean
}

export function createLateRequests(): LateRequests {
  const bytesOf = new Map<string, number>()
  let total = 0
  return {
    add(unique, bytes) {
      if (bytesOf.has(unique)) return false
      bytesOf.set(unique, bytes)
      total += bytes
      return true
    },
    answered(unique) {
      total -= bytesOf.get(unique) ?? 0
      bytesOf.delete(unique)
    },
    get full() {
      return bytesOf.size >= MAX_LATE_REQUESTS || total >= MAX_LATE_BYTES
    },
  }
}
