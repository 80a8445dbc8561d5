import { SandboxService, type Sandbox as WireSandbox } from '../proto/index.ts'
import { throwIfAborted } from './abort.ts'
import type { Connection } from './client/connection.ts'
import { NotFoundError } from './errors.ts'
import { watchStart } from './images.ts'
import { createRequest, type SandboxOptions } from './sandbox-spec.ts'

/**
 * Not cancelled half-way: whether the server had made it then, nobody could tell. It is waited for, and
 * destroyed where nobody wants it any more.
 */
export async function createSandbox(
  connection: Connection,
  source: Parameters<typeof createRequest>[0],
  options: SandboxOptions,
): Promise<WireSandbox> {
  throwIfAborted(options.signal)
  const request = createRequest(source, options)
  // An image may have to be fetched, which takes longer than a call that tells of nothing should.
  const startsApart = request.start === true && options.image !== undefined
  const made = await connection.unary(SandboxService.method.createSandbox, {
    ...request,
    ...(startsApart ? { start: false } : {}),
  })
  const sandbox = startsApart ? await startMade(connection, made, options) : made
  if (options.signal?.aborted === true) {
    await destroySandbox(connection, sandbox.id)
    throwIfAborted(options.signal)
  }
  return sandbox
}

/** Nobody has its id yet, so one that cannot start must not stay. */
async function startMade(connection: Connection, made: WireSandbox, options: SandboxOptions): Promise<WireSandbox> {
  try {
    return await watchStart(connection, made.id, options)
  } catch (error) {
    await destroySandbox(connection, made.id)
    throw error
  }
}

export async function destroySandbox(connection: Connection, sandboxId: string): Promise<void> {
  await unlessGone(connection.unary(SandboxService.method.destroySandbox, { sandboxId }))
}

/** It is no error where what was to be destroyed is not there any more. */
export async function unlessGone(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
  }
}
