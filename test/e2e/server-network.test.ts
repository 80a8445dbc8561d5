import { afterEach, beforeEach, expect, it } from 'vitest'
import { NetworkOutcome, NetworkPolicy_Mode } from '../../proto/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap', 'curl')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

it('a server gives no more network than its setting, and the trail outlives it', async () => {
  const ask = { mode: NetworkPolicy_Mode.ALLOW_LIST, allow: [] }
  const denied = { code: 'PERMISSION_DENIED', field: 'network.mode' }
  let sandboxId = ''
  {
    await using server = await ServerProcess.start(dir, '--network', 'allow-list')
    const { sandboxes } = server.wire
    const codebaseId = await codebaseWith(server.wire, {})
    const full = sandboxes.createSandbox({ codebaseId, network: { mode: NetworkPolicy_Mode.FULL } })
    expect(await refusal(full)).toMatchObject(denied)
    ;({ id: sandboxId } = await sandboxes.createSandbox({ codebaseId, network: ask, start: true }))
    const { stdout } = await sandboxes.exec({ sandboxId, command: 'curl -sS http://a.example http://a.example' })
    expect(stdout).toContain('a.example is not in network.allow')
  }
  {
    await using server = await ServerProcess.start(dir, '--network', 'off')
    const { sandboxes, trails } = server.wire
    expect(await trails.getNetworkTrail({ sandboxId })).toMatchObject({
      uses: [{ host: 'a.example', port: 80, outcome: NetworkOutcome.NOT_ALLOWED, count: 2n }],
    })
    expect(await refusal(sandboxes.startSandbox({ sandboxId }))).toMatchObject(denied)
    await sandboxes.destroySandbox({ sandboxId })
    expect(await refusal(trails.getNetworkTrail({ sandboxId }))).toMatchObject({ code: 'NOT_FOUND' })
  }
})
