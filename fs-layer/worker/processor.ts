import { cFunctions } from '../c-library.ts'

/** sched_yield(2): whoever else is ready to run on this processor runs first. */
export const { sched_yield: yieldProcessor } = cFunctions<{ sched_yield(): number }>({ sched_yield: ['int', []] })
