import { lookup } from 'node:dns/promises'

/** All addresses of a name, best first. */
export type Lookup = (name: string) => Promise<readonly string[]>

/**
 * As the server's host looks names up, its own table of hosts included. That happens in the few threads in which all
 * of the server's files are read too, and cannot be cancelled: so no more than `maxAtOnce` at a time, and one for each
 * name.
 */
export function hostLookup(maxAtOnce: number, ask: Lookup = askHost): Lookup {
  const underWay = new Map<string, Promise<readonly string[]>>()
  const waiting: (() => void)[] = []
  let running = 0

  async function look(name: string): Promise<readonly string[]> {
    while (running >= maxAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    running += 1
    try {
      return await ask(name)
    } finally {
      running -= 1
      waiting.shift()?.()
    }
  }

  return (name) => {
    const before = underWay.get(name)
    if (before !== undefined) return before
    const answer = look(name).finally(() => underWay.delete(name))
    underWay.set(name, answer)
    return answer
  }
}

async function askHost(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true, verbatim: true })
  return found.map(({ address }) => address)
}
