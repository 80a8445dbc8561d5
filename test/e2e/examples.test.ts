import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type PrivateUser, privateUser } from '../fixtures/private-user.ts'
import { needs } from '../needs.ts'
import { documentProject } from './documents/project.ts'

const repository = join(import.meta.dirname, '../..')

let user: PrivateUser
let work: string

beforeAll(async () => {
  user = privateUser()
  work = await mkdtemp(join(tmpdir(), 'croft-examples-'))
  writeFileSync(join(work, 'croft'), `#!/bin/sh\nexec node ${repository}/dist/sdk/cli/main.js "$@"\n`, { mode: 0o755 })
  user.env['PATH'] = `${work}:${user.env['PATH']}`
})

afterAll(async () => {
  await user[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'node-inside', 'git'))

async function example(name: string, command: string, args: readonly string[], input = '') {
  const project = join(work, name)
  await documentProject(project)
  const result = await execa(command, [...args, project], { cwd: work, env: user.env, input, all: true, reject: false })
  return { project, result }
}

describe('an example', () => {
  test.each(readdirSync(join(repository, 'examples')).filter((name) => name.endsWith('.ts')))(
    '%s runs',
    async (name) => {
      const program = join(repository, 'dist/examples', name.replace(/ts$/, 'js'))
      const { result } = await example(name, 'node', [program])
      expect(result.exitCode, result.all).toBe(0)
    },
  )

  test('in a shell asks before it applies', async () => {
    writeFileSync(join(work, 'script.sh'), 'echo more >> README.md\n')
    const script = join(repository, 'examples/untrusted-script.sh')
    const shell = (name: string, answer: string) =>
      example(name, 'sh', ['-c', `exec sh ${script} "$1" ./script.sh`, 'sh'], `${answer}\n`)
    const refused = await shell('refused', 'n')
    const applied = await shell('applied', 'y')
    expect(refused.result.all).toContain('+more')
    expect(await readFile(join(refused.project, 'README.md'), 'utf8')).toBe('# A project\n')
    expect(await readFile(join(applied.project, 'README.md'), 'utf8')).toBe('# A project\nmore\n')
  })

  test('in Python, by plain gRPC', async (context) => {
    await needs(context, 'python3-grpc', 'protoc')
    const program = join(repository, 'examples/python/run_tests.py')
    const protos = readdirSync(join(repository, 'proto/sandbox/v1')).map((name) => `sandbox/v1/${name}`)
    await execa('protoc', ['--proto_path', join(repository, 'proto'), '--python_out', work, ...protos], {
      cwd: join(repository, 'proto'),
    })
    await execa('croft', ['ls'], { env: user.env })
    user.env['PYTHONPATH'] = work
    const run = `exec /usr/bin/python3 ${program} unix://${user.socket} "$1" "npm test && echo done > done"`
    const { result } = await example('python', 'sh', ['-c', run, 'sh'])
    expect(result.exitCode, result.all).toBe(0)
    expect(result.all).toContain('# pass 1')
    expect(result.all).toContain('CHANGE_KIND_CREATED done')
  })
})
