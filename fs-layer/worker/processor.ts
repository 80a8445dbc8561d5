import koffi from 'koffi'

/** sched_yield(2): whoever else is ready to run on this processor runs first. Made once for each thread. */
export function processorYield(): () => void {
  return koffi.load(null).func('sched_yield', 'int', [])
}
