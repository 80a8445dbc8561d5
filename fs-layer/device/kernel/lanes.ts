/** Lets at most so many calls be under way at once; the others wait in the order in which they came. */
export interface Lanes {
  run<T>(call: () => Promise<T>): Promise<T>
}

export function createLanes(count: number): Lanes {
  let free = count
  const waiting: (() => void)[] = []
  return {
    async run(call) {
      if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve))
      else free--
      try {
        return await call()
      } finally {
        const next = waiting.shift()
        if (next === undefined) free++
        else next()
      }
    },
  }
}
