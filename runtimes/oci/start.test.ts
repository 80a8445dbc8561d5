import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LaunchSpec } from '../contract/runtime.ts'
import { createOciRuntime } from './runtime.ts'

let dir: string
let engine: Server
let refusal: string
let starts: number

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'croft-engine-'))
  starts = 0
  engine = createServer((request, response) => {
    const path = request.url ?? ''
    const say = (status: number, body?: object) => response.writeHead(status).end(JSON.stringify(body))
    request.resume()
    if (path.includes('/start')) {
      starts += 1
      if (starts === 1) say(400, { message: refusal })
      else response.writeHead(204).end()
    } else if (path.startsWith('/info')) say(200, { ServerVersion: '20.10' })
    else if (path.startsWith('/images/')) say(200, { Id: 'sha256:0', Config: {} })
    else if (path.startsWith('/containers/create')) say(201, { Id: 'c' })
    else if (path.includes('/wait')) response.writeHead(200).flushHeaders()
    else response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => engine.listen(join(dir, 'engine.sock'), resolve))
})

afterEach(() => {
  engine.closeAllConnections()
  engine.close()
  rmSync(dir, { recursive: true })
})

/** Nobody comes, so every launch fails in the end. */
async function launch(): Promise<string> {
  const runtime = createOciRuntime({
    name: 'docker',
    socketPath: join(dir, 'engine.sock'),
    stateDir: dir,
    limits: { agentMs: 50 },
  })
  const spec: LaunchSpec = {
    ...{ sandboxId: 'sb', instance: 'test', viewPath: dir, workspace: '/workspace', hostUid: 4242, hostGid: 4242 },
    ...{ scratchDir: dir, hostname: 'box', image: 'any', limits: {}, network: { mode: 'off' } },
  }
  return await runtime.launch(spec).then(
    () => 'launched',
    (error: Error) => error.message,
  )
}

describe('a container that the engine does not start', () => {
  it('is started once more where its root was not mounted yet', async () => {
    refusal = 'runc create failed: unable to start container process: exec: "/.croft/agent": stat /.croft/agent: denied'
    expect(await launch()).toContain('did not speak')
    expect(starts).toBe(2)
  })

  it('is not started again for any other reason', async () => {
    refusal = 'no space left on device'
    expect(await launch()).toContain('no space left')
    expect(starts).toBe(1)
  })
})
