import { UNIQUE_RESENT } from './constants.ts'
import type { Incoming } from './decode.ts'

/**
 * Which request is being carried out, in memory that outlives the thread. The kernel hands a request out again whose
 * thread has died over it; if it is what killed the thread, it would kill every successor, and so take the files of
 * all sandboxes away. One that was under way at so many deaths is refused.
 */
export interface UnderWay {
  /** False: it is not to be tried again. */
  begin(incoming: Incoming): boolean
  end(): void
}

export const DEATHS_OF_ONE_REQUEST_MAX = 2

/** Three words: the request's number, and at how many deaths it was under way, with the next one; 0 for none. */
export const UNDER_WAY_BYTES = 12

export function createUnderWay(memory: SharedArrayBuffer): UnderWay {
  const words = new Uint32Array(memory)
  const [low = 0, high = 0, deaths = 0] = words
  words[2] = 0
  return {
    begin({ uniqueLow, uniqueHigh }) {
      const isSuspect = deaths > 0 && uniqueLow === low && uniqueHigh === (high | UNIQUE_RESENT) >>> 0
      if (isSuspect && deaths >= DEATHS_OF_ONE_REQUEST_MAX) return false
      words[0] = uniqueLow
      words[1] = uniqueHigh
      words[2] = isSuspect ? deaths + 1 : 1
      return true
    },
    end() {
      words[2] = 0
    },
  }
}
