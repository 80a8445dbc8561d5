import { execFileSync } from 'node:child_process'
import { createReadStream, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let fixture: SdkSandbox
let sandbox: Sandbox
let out: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  sandbox = await Sandbox.fromLocal(fixture.project, { server: fixture.server, preset: 'development' })
  await sandbox.run('echo more >> README.md; rm -r build; echo new > src/new')
  out = join(fixture.user.dir, 'out')
  mkdirSync(out)
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

function croft(...args: string[]) {
  return execa('node', [MAIN, ...args], { env: fixture.user.env, reject: false, stdin: 'ignore' })
}

describe('what was exported', () => {
  test.each(['tar', 'tar.gz', 'zip', 'oci-image'] as const)(
    'as a %s is imported as the same version',
    async (format) => {
      const { id, rootHash } = await sandbox.snapshot()
      const file = join(out, `a.${format}`)
      const { sha256, bytes } = await fixture.server.snapshots.export(id, { format, as: 'owner', to: file })
      const imported = await fixture.server.importArchive(file)
      expect(imported).toMatchObject({ rootHash, sha256, bytes, format: format === 'tar.gz' ? 'tar' : format })
      const streamed = await fixture.server.importArchive(createReadStream(file), { name: 'streamed' })
      expect(streamed.rootHash).toBe(rootHash)
      await using again = await Sandbox.create({ server: fixture.server, codebase: imported.codebaseId })
      expect((await again.run('cat src/new')).stdout).toBe('new\n')
    },
  )

  test('as a delta is imported on top of what it is a change of', async () => {
    const { rootHash } = await sandbox.snapshot()
    const file = join(out, 'delta.tar')
    await sandbox.export({ format: 'oci-layer', as: 'owner', to: file })
    const onto = { format: 'oci-layer', onto: sandbox.codebaseId } as const
    expect((await fixture.server.importArchive(file, onto)).rootHash).toBe(rootHash)
    await expect(fixture.server.importArchive(file, { format: 'oci-layer' })).rejects.toMatchObject({
      field: 'spec.base',
    })
  })

  test('by the command line is a codebase, or its new version', async () => {
    const file = join(out, 'cli.tar.zst')
    expect((await croft('export', sandbox.id, '--owner', '--format', 'tar.gz', '-o', file)).exitCode).toBe(0)
    const made = await croft('import', file, '--json')
    expect(JSON.parse(made.stdout)).toMatchObject({ format: 'tar' })
    const { codebaseId } = JSON.parse(made.stdout)
    const changed = await execa('node', [MAIN, 'import', '-', '--codebase', codebaseId], {
      env: fixture.user.env,
      input: execFileSync('tar', ['-cf', '-', '-C', fixture.project, 'src']),
    })
    expect(changed.stdout).toBe(codebaseId)
    await using other = await Sandbox.create({ server: fixture.server, codebase: codebaseId })
    expect((await other.run('ls')).stdout).toBe('src\n')
  })
})

describe('an import that fails', () => {
  test('names the entry, changes nothing and leaves nothing behind', async () => {
    const { codebaseId, rootHash } = await fixture.server.importArchive(good(), { name: 'victim' })
    const evil = join(out, 'evil.tar')
    execFileSync('tar', ['-cPf', evil, '--transform', 's,^,../,', '-C', fixture.project, 'src/main.sh'])
    const refused = await croft('import', evil, '--codebase', codebaseId)
    expect(refused.exitCode).toBe(125)
    expect(refused.stderr).toContain('"../src/main.sh"')
    await expect(fixture.server.importArchive(evil)).rejects.toMatchObject({ code: 'invalid_argument', field: 'data' })
    const same = await fixture.server.importArchive(good(), { codebaseId, ifRootHash: rootHash })
    expect(same.rootHash).toBe(rootHash)
    await expect(
      fixture.server.importArchive(good(), { codebaseId, ifRootHash: '0'.repeat(64) }),
    ).rejects.toMatchObject({ code: 'failed_precondition' })
    expect(readdirSync(join(fixture.user.dir, 'state/croft/data/incoming'))).toEqual([])
  })

  test('in the middle, for its source broke, makes no codebase', async () => {
    async function* broken() {
      yield Buffer.alloc(10_000)
      throw new Error('the disk is gone')
    }
    await expect(fixture.server.importArchive(broken(), { name: 'broken' })).rejects.toThrow('the disk is gone')
    await expect(fixture.server.importArchive('/no/such/file')).rejects.toMatchObject({ code: 'local_file' })
    const patch = join(out, 'a.patch')
    writeFileSync(patch, 'diff --git a/x b/x\n')
    await expect(fixture.server.importArchive(patch, { format: 'patch' })).rejects.toMatchObject({
      field: 'spec.base',
    })
  })
})

/** A tar of one file. */
function good(): AsyncIterable<Uint8Array> {
  const path = join(out, 'good.tar')
  execFileSync('tar', ['-cf', path, '-C', fixture.project, 'README.md'])
  return createReadStream(path)
}
