import { afterEach, beforeEach, expect, it } from 'vitest'
import { DEATHS_MAX } from '../../fs-layer/worker/limits.ts'
import { SandboxStatus } from '../../proto/index.ts'
import { collect } from '../fixtures/collect.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

async function runningSandbox({ wire }: ServerProcess): Promise<string> {
  const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello' })
  return (await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })).id
}

it('programs in a sandbox, its session and its commands go on when the filesystem thread dies', async () => {
  await using server = await ServerProcess.startMortal(dir)
  const { sandboxes } = server.wire
  const sandboxId = await runningSandbox(server)
  const { id: sessionId } = await sandboxes.createSession({ sandboxId })
  await sandboxes.sessionExec({ sessionId, command: 'mkdir d; cd d; exec 3>open; echo before >&3' })
  const counting = sandboxes.exec({
    sandboxId,
    command:
      'n=0; while test $n -lt 400; do n=$((n+1)); echo $n >> log; cat log > copy; done; tail -n 1 copy; wc -l < log',
  })
  for (let death = 1; death < DEATHS_MAX; death++) {
    await server.endThread(death)
    expect((await sandboxes.exec({ sandboxId, command: 'cat a.txt; pwd' })).stdout).toBe('hello/workspace\n')
  }
  expect(await counting).toMatchObject({ exitCode: 0, stdout: '400\n400\n', stderr: '' })
  const { stdout } = await sandboxes.sessionExec({ sessionId, command: 'echo after >&3; cat open; pwd' })
  expect(stdout).toBe('before\nafter\n/workspace/d\n')
  const chunks = await collect(server.wire.files.readFile({ sandboxId, path: Buffer.from('d/open') }))
  expect(Buffer.concat(chunks.map(({ data }) => data)).toString()).toBe('before\nafter\n')
  await sandboxes.stopSandbox({ sandboxId })
  expect(server.mounts()).toEqual([])
})

it('a limit of bandwidth outlives the filesystem thread', async () => {
  await using server = await ServerProcess.startMortal(dir)
  const { sandboxes } = server.wire
  const codebaseId = await codebaseWith(server.wire, { 'a.txt': 'hello' })
  const rate = 1 << 19
  const resources = { io: { writeBytesPerSecond: BigInt(rate) } }
  const { id: sandboxId } = await sandboxes.createSandbox({ codebaseId, preset: 'development', start: true, resources })
  await server.endThread(1)
  await sandboxes.exec({ sandboxId, command: 'cat a.txt' })
  const beganMs = performance.now()
  await sandboxes.exec({ sandboxId, command: `head -c ${rate} /dev/zero > written; sync written` })
  // A tenth of a second is what an idle sandbox has saved.
  expect(performance.now() - beganMs).toBeGreaterThan(900)
  await sandboxes.stopSandbox({ sandboxId })
})

it('sandboxes become errors with the reason when it dies too often, and can be started by the next server', async () => {
  const server = await ServerProcess.startMortal(dir)
  const sandboxId = await runningSandbox(server)
  await server.wire.sandboxes.exec({ sandboxId, command: 'echo kept > b.txt' })
  for (let death = 1; death <= DEATHS_MAX + 1; death++) await server.endThread(death)
  expect(await server.exited()).toBe(1)
  expect(server.mounts()).toEqual([])

  await using next = await ServerProcess.start(dir)
  const { sandboxes } = next.wire
  const failed = await sandboxes.getSandbox({ sandboxId })
  expect(failed.status).toBe(SandboxStatus.ERROR)
  expect(failed.error).toContain(`the filesystem thread has died ${DEATHS_MAX + 1} times`)
  await sandboxes.startSandbox({ sandboxId })
  expect((await sandboxes.exec({ sandboxId, command: 'cat b.txt' })).stdout).toBe('kept\n')
})
