import { create } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { ExecRequestSchema, SandboxService, serviceDefinition } from '../../proto/index.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

let dir: string
let server: ServerProcess
let sandboxId: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir)
  const codebaseId = await codebaseWith(server.wire, {})
  ;({ id: sandboxId } = await server.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true }))
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  if (dir !== undefined) removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

/** With a deadline of the call itself, as any client of gRPC may have one. */
function exec(command: string, deadlineMs: number): Promise<ServiceError | null> {
  const client = new Client(`unix://${server.ready.socket}`, credentials.createInsecure())
  const method = serviceDefinition(SandboxService)['exec']
  if (method === undefined) throw new Error('there is no Exec')
  const { path, requestSerialize, responseDeserialize } = method
  const request = create(ExecRequestSchema, { sandboxId, command })
  const deadline = { deadline: Date.now() + deadlineMs }
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), deadline, (error) => {
      client.close()
      resolve(error)
    })
  })
}

it('a command ends with the deadline of its call, and everything that it began', async () => {
  const error = await exec('sleep 600 & echo $$ > /tmp/pids; echo $! >> /tmp/pids; wait', 1500)
  expect(error?.code).toBe(status.DEADLINE_EXCEEDED)
  const left = async () =>
    (
      await server.wire.sandboxes.exec({
        sandboxId,
        command: 'for pid in $(cat /tmp/pids); do kill -0 $pid 2>/dev/null && echo left; done; true',
      })
    ).stdout
  await expect.poll(left).toBe('')
})
