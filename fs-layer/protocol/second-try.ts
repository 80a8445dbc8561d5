/**
 * Requests that failed for want of room, kept until what the kernel has already given back is known.
 *
 * A program that deletes a file and makes another hears of the deletion before we hear that nobody holds the file any
 * more: FORGET has no reply, so nobody waits for it, and the kernel hands over up to 8 requests before a FORGET that
 * was there first (`forget_batch` in fs/fuse/dev.c of Linux). So a request may be told that there is no room, when
 * there is; it is tried again when nothing else waits, or enough has been read to have met every FORGET before it.
 */
export interface SecondTry {
  /** Copies the request. */
  keep(request: Buffer): void
  /** Of every request read, this one's kind or not. */
  heard(): void
}

/** `again` answers for good. */
export function createSecondTry(again: (request: Buffer) => void): SecondTry {
  let heard = 0
  let kept: { readonly request: Buffer; readonly at: number }[] = []
  return {
    keep(request) {
      kept.push({ request: Buffer.from(request), at: heard })
      // Two rounds of the event loop, so that a whole turn of reading lies between the first look and the second.
      if (kept.length === 1) setImmediate(look, -1)
    },
    heard() {
      heard++
    },
  }

  function look(heardBefore: number): void {
    const due = heard === heardBefore ? kept : kept.filter(({ at }) => heard - at >= ENOUGH_REQUESTS)
    kept = kept.filter((each) => !due.includes(each))
    for (const { request } of due) again(request)
    if (kept.length > 0) setImmediate(look, heard)
  }
}

/** After so many more requests the kernel has had two turns of FORGETs, of up to 16 each. */
const ENOUGH_REQUESTS = 48
