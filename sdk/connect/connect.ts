import { once } from 'node:events'
import { createConnection } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Connection } from '../client/connection.ts'
import { ServerUnreachableError } from '../errors.ts'
import { type Address, resolveAddress, type ServerOptions } from './address.ts'
import { startServer } from './start-server.ts'
import { isPrivateDir } from './user-dirs.ts'

/** How long a server that was just started may take. */
const START_TIMEOUT_MS = 20_000
const CONNECT_TIMEOUT_MS = 5_000
/** How long to look for a server that another process is starting, and how often. */
const WINNER_TIMEOUT_MS = 3_000
const WINNER_POLL_MS = 25

/**
 * A connection to the server that `options` name. Where they name none and the user's own does not run, it is
 * started. Rejects with `ServerUnreachableError`, `ServerStartError` or `InvalidArgumentError`.
 */
export async function connect(
  options: ServerOptions = {},
  signal?: AbortSignal,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Connection> {
  const { isDefault, ...server } = resolveAddress(options, env)
  const { address } = server
  if (!isDefault) return await reach(server, CONNECT_TIMEOUT_MS)

  const socket = address.slice('unix://'.length)
  if (await isPrivateDir(dirname(socket))) {
    const running = await reachNow(server)
    if (running !== undefined) return running
  }
  if (options.start === false) {
    throw new ServerUnreachableError(`No Croft server answers at ${address}`)
  }
  try {
    await startServer({ socket, timeoutMs: START_TIMEOUT_MS, env })
  } catch (error) {
    const winner = await waitForWinner(server, signal)
    if (winner === undefined) throw error
    return winner
  }
  return await reach(server, CONNECT_TIMEOUT_MS)
}

type Reached = Omit<Address, 'isDefault'>

async function reach(server: Reached, timeoutMs: number): Promise<Connection> {
  const connection = new Connection(server)
  try {
    await connection.ready(timeoutMs)
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

/** One attempt: a unix socket answers at once or nobody is behind it. */
async function reachNow(server: Reached): Promise<Connection | undefined> {
  const { address } = server
  const socket = createConnection(address.slice('unix://'.length))
  try {
    await once(socket, 'connect')
  } catch (error) {
    if (isNobodyThere(error)) return undefined
    throw new ServerUnreachableError(`The server's socket ${address} cannot be used`, { cause: error })
  } finally {
    socket.destroy()
  }
  return await reach(server, CONNECT_TIMEOUT_MS)
}

/** Another process may have started a server at the same moment; ours then gave way to it. */
async function waitForWinner(server: Reached, signal: AbortSignal | undefined): Promise<Connection | undefined> {
  const giveUpAt = performance.now() + WINNER_TIMEOUT_MS
  while (performance.now() < giveUpAt && signal?.aborted !== true) {
    const connection = await reachNow(server)
    if (connection !== undefined) return connection
    await delay(WINNER_POLL_MS)
  }
  return undefined
}

function isNobodyThere(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
}
