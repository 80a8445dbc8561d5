import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { beforeEach, expect, it } from 'vitest'
import { INSTALL_MS, pythonWithAgentfense } from '../fixtures/agentfense.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'

const SCRIPT = join(import.meta.dirname, 'published_client.py')

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap', 'agentfense-python')
  dir = temporaryServerDir()
  return () => removeServerDir(dir)
  // The first time on a machine it is fetched.
}, 3 * INSTALL_MS)

/** The published package, as its users have it; on TCP it can send no token. */
it.each(['unix', 'tcp'])('the published client of wire v1 does all of its work, over %s', async (over) => {
  const flags = over === 'tcp' ? ['--listen', '127.0.0.1:0', '--dangerously-let-anyone-in'] : []
  await using server = await ServerProcess.start(dir, ...flags)
  const endpoint = over === 'tcp' ? `127.0.0.1:${server.ready.address?.port}` : `unix://${server.ready.socket}`
  const folder = join(dir, 'folder')
  mkdirSync(folder)
  writeFileSync(join(folder, 'hello.txt'), 'hello\n')
  const { stdout, stderr } = await execa(await pythonWithAgentfense(), [SCRIPT, endpoint, folder], { reject: false })
  expect(stderr).toBe('')
  expect(stdout.split('\n')).toEqual([
    'codebases',
    'sandboxes',
    'commands',
    'permissions',
    'sessions',
    'ends',
    'from_local',
    'async',
  ])
})
