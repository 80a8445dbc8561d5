import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { collect } from '../fixtures/collect.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let fixture: SdkSandbox | undefined
let sandbox: Sandbox
let out: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  sandbox = await Sandbox.fromLocal(fixture.project, { server: fixture.server, preset: 'development' })
  await sandbox.run('echo more >> README.md; rm -r build; mkfifo pipe; echo new > src/new')
  out = join(fixture.user.dir, 'out')
  mkdirSync(out)
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

function croft(...args: string[]) {
  return execa('node', [MAIN, ...args], { env: fixture?.user.env ?? {}, reject: false, stdin: 'ignore' })
}

const list = (file: string) => execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n')

describe('an export', () => {
  test('is the same bytes of a sandbox, its snapshot, its fork and the codebase made of it', async () => {
    const snapshot = await sandbox.snapshot()
    const [fork] = await sandbox.fork(1, { start: false })
    const codebaseId = await fixture?.server.snapshots.publish(snapshot.id, { name: 'published' })
    const owner = { format: 'zip', as: 'owner' } as const
    const pieces = async (source: AsyncIterable<Uint8Array> | undefined) =>
      Buffer.concat(source === undefined ? [] : await collect(source))
    const ofSandbox = await pieces(sandbox.export(owner))
    expect(ofSandbox.length).toBeGreaterThan(500)
    expect(ofSandbox.equals(await pieces(fixture?.server.snapshots.export(snapshot.id, owner)))).toBe(true)
    expect(ofSandbox.equals(await pieces(fork?.export(owner)))).toBe(true)
    expect(ofSandbox.equals(await pieces(fixture?.server.exportCodebase(codebaseId ?? '', { format: 'zip' })))).toBe(
      true,
    )
    await fork?.kill()
  })

  test('of what changed has whiteouts, since whatever version is named', async () => {
    const file = join(out, 'delta.tar')
    await sandbox.export({ content: 'delta', to: file })
    expect(list(file)).toEqual(['./', 'README.md', '.wh.build', 'src/', 'src/new'])
    const { id } = await sandbox.snapshot()
    await sandbox.run('rm src/new')
    await sandbox.export({ format: 'oci-layer', since: id, to: file })
    expect(list(file)).toEqual(['src/', 'src/.wh.new'])
  })

  test('by the command line is a file in each form, named after what it is of', async () => {
    for (const [format, ending] of [
      ['tar', '.tar'],
      ['tar.gz', '.tar.gz'],
      ['zip', '.zip'],
      ['oci-layer', '.layer.tar'],
      ['oci-image', '.oci.tar'],
      ['patch', '.patch'],
      ['git-bundle', '.bundle'],
    ] as const) {
      const ran = await execa('node', [MAIN, 'export', sandbox.id, '--format', format, '--json'], {
        env: fixture?.user.env ?? {},
        cwd: out,
        stdin: 'ignore',
      })
      const told = JSON.parse(ran.stdout)
      expect(told).toMatchObject({ sandboxId: sandbox.id, file: `${sandbox.id}${ending}`, format })
      expect(readFileSync(join(out, told.file)).length).toBe(told.bytes)
    }
  })

  test('that is refused or given up leaves no file, and names what is wrong', async () => {
    const before = readdirSync(out)
    const refused = await croft('export', sandbox.id, '--format', 'oci-image', '--delta', '-o', join(out, 'no'))
    expect(refused).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('spec.content') })
    const tag = await croft('export', sandbox.id, '--format', 'oci-image', '--tag', 'Not a name', '-o', join(out, 'no'))
    expect(tag.stderr).toContain('spec.image.reference')
    const gone = await croft('export', 'snap_0123456789abcdef', '-o', join(out, 'no'))
    expect(gone.stderr).toContain('no snapshot')

    await sandbox.run('head -c 300000000 /dev/zero > large')
    const child = spawn('node', [MAIN, 'export', sandbox.id, '-o', join(out, 'no')], {
      env: { ...process.env, ...fixture?.user.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const exited = once(child, 'close')
    // It is at work when a part of the file is there.
    while (!readdirSync(out).some((name) => name.endsWith('.part')) && child.exitCode === null) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    child.kill('SIGINT')
    expect((await exited)[0]).toBe(130)
    expect(readdirSync(out)).toEqual(before)
    await sandbox.run('rm large')
  })
})
