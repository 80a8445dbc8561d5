import { afterEach, beforeEach, expect, it } from 'vitest'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

it('a server whose log nobody reads any more goes on, and ends when it is told to', async () => {
  const server = await ServerProcess.start(dir, '--log-level', 'debug')
  server.stopReading()
  for (const name of ['one', 'two', 'three']) await server.wire.codebases.createCodebase({ name })
  expect(await server.end('SIGTERM')).toBe(0)
})
