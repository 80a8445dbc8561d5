/** On machines with more processors none is kept from sleeping: all of them would be, for two that work. */
export const IDLE_LATENCY_PROCESSORS_MAX = 16
