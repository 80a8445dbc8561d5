import type { Duplex } from 'node:stream'
import { type Agent, AgentError } from '../../runtimes/contract/agent.ts'
import { within } from '../concurrency/within.ts'
import { CroftError } from '../errors/croft-error.ts'

/** `localhost` is either of these to a server inside, as it pleases. */
const FAMILIES = [4, 6] as const

/** Rejects with FAILED_PRECONDITION where nobody listens. */
export async function connectInside(agent: Agent, port: number, timeoutMs: number): Promise<Duplex> {
  for (const family of FAMILIES) {
    const connecting = agent.connect(port, family)
    try {
      return await within(connecting, timeoutMs, () => new AgentError('connect', 'no answer', 'ETIMEDOUT'))
    } catch (error) {
      // An agent that answers after all is answered to.
      connecting.then((stream) => stream.destroy()).catch(() => undefined)
      if (!(error instanceof AgentError) || error.code !== 'connect') throw error
      if (error.errno !== 'ECONNREFUSED') throw refused(port, error)
    }
  }
  throw refused(port)
}

function refused(port: number, error?: AgentError): CroftError {
  const why = error?.errno === undefined ? 'nothing listens there' : error.errno
  return new CroftError('FAILED_PRECONDITION', `cannot connect to port ${port} in the sandbox: ${why}`, {
    reason: 'port_closed',
    ...(error === undefined ? {} : { cause: error }),
  })
}
