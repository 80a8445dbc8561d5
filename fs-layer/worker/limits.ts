/** On machines with more processors none is kept from sleeping: all of them would be, for two that work. */
export const IDLE_LATENCY_PROCESSORS_MAX = 16
/**
 * A filesystem thread that has died so often in so long a time is not replaced any more: what kills it is still there,
 * and everybody's files wait for each try.
 */
export const DEATHS_MAX = 5
export const DEATHS_WINDOW_MS = 60_000

/** How often a call is made again of a successor: the call itself may be what kills the thread. */
export const REPEATS_MAX = 2

/** A thread with calls to answer that says nothing for so long is stuck: its calls fail, and it is replaced. */
export const SILENCE_MAX_MS = 30_000
