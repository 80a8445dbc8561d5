import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Health, ServerReflection, HealthCheckResponse_ServingStatus as ServingStatus } from '../../proto/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { wireClient } from '../fixtures/wire-client.ts'

let dir: string
let server: ServerProcess
let tcp: string

beforeAll(async () => {
  dir = temporaryServerDir()
  // A server that is not ready for want of room on its disk, whatever else it lacks.
  const flags = ['--limit', `minFreeBytes=${9e14}`, '--listen', '127.0.0.1:0', '--first-token', `${dir}/first`]
  server = await ServerProcess.start(dir, ...flags)
  tcp = `127.0.0.1:${server.ready.address?.port}`
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  removeServerDir(dir)
})

it('health is told to probes without a token, and to nobody else without one', async () => {
  const health = wireClient(Health, tcp)
  for (const service of ['', 'sandbox.v1.SandboxService']) {
    expect((await health.check({ service })).status).toBe(ServingStatus.NOT_SERVING)
  }
  expect((await refusal(health.check({ service: 'no.such.Service' }))).code).toBe('NOT_FOUND')
  expect((await refusal(health.watch({})[Symbol.asyncIterator]().next())).code).toBe('UNAUTHENTICATED')
  health.close()
})

it('a watcher is told what is now, also of a service that there is not', async () => {
  const health = wireClient(Health, `unix://${server.ready.socket}`)
  for (const [service, status] of [
    ['', ServingStatus.NOT_SERVING],
    ['no.such.Service', ServingStatus.SERVICE_UNKNOWN],
  ] as const) {
    const stream = health.watch({ service })
    expect((await stream[Symbol.asyncIterator]().next()).value?.status).toBe(status)
    stream.cancel()
  }
  health.close()
})

it('reflection has every service, with all that a tool needs to call it', async () => {
  const reflection = wireClient(ServerReflection, `unix://${server.ready.socket}`)
  const info = reflection.serverReflectionInfo()
  info.send({ messageRequest: { case: 'listServices', value: '' } })
  const listed = (await info.next())?.messageResponse
  if (listed?.case !== 'listServicesResponse') throw new Error(`it answered ${listed?.case}`)
  const names = listed.value.service.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(['sandbox.v1.SandboxService', 'grpc.health.v1.Health']))
  for (const name of names) {
    info.send({ messageRequest: { case: 'fileContainingSymbol', value: name } })
    const found = (await info.next())?.messageResponse
    if (found?.case !== 'fileDescriptorResponse') throw new Error(`${name}: it answered ${found?.case}`)
    const file = found.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
    // As they have to be read: each after those that it builds on.
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.reverse() }))
    expect(registry.getService(name)?.methods.length).toBeGreaterThan(0)
  }
  for (const value of ['sandbox.v1.SandboxService.Exec', 'sandbox.v1.ExecResult.stdout']) {
    info.send({ messageRequest: { case: 'fileContainingSymbol', value } })
    expect((await info.next())?.messageResponse.case).toBe('fileDescriptorResponse')
  }
  info.send({ messageRequest: { case: 'fileByFilename', value: '../../etc/passwd' } })
  expect((await info.next())?.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } })
  info.end()
  expect(await info.next()).toBeUndefined()
  reflection.close()
})
