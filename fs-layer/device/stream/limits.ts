/** What a far side of a stream may cost us, whatever it sends or does not read. */

/** How long it may take to begin the protocol: a guest has to boot first. */
export const INIT_TIMEOUT_MS = 60_000

/** How long it may take to say that a batch of notices is in force. It may have pages to write back before. */
export const NOTICE_TIMEOUT_MS = 30_000

/** Notices that go out together; the next ones wait until these are in force. */
export const NOTICE_BATCH_BYTES = 64 * 1024

/** Notices that wait. A million changes of rules fit. */
export const MAX_WAITING_NOTICE_BYTES = 64 << 20

/**
 * Requests under way that are answered later (an fsync, the copying of a large file). Beyond either nothing more is
 * read: a kernel has at most one such for each thread that waits.
 */
export const MAX_LATE_REQUESTS = 1024
export const MAX_LATE_BYTES = 16 << 20

/** Served in one go, before others in this thread get their turn. */
export const MAX_BURST_REQUESTS = 64
export const MAX_BURST_BYTES = 1 << 20
