import { execFileSync } from 'node:child_process'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { EXPORT_FORMATS, type ExportFormat, Sandbox } from '../../sdk/index.ts'
import { collect } from '../fixtures/collect.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let fixture: SdkSandbox | undefined
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  sandbox = await Sandbox.fromLocal(fixture.project, {
    server: fixture.server,
    preset: 'development',
    permissions: { '/README.md': 'view' },
  })
  await sandbox.run('echo new > new; rm -r build')
  // The owner changes what the sandbox does not see.
  await sandbox.files.write('.env', 'TOKEN=other\n', { as: 'owner' })
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'zstd', 'git'))

const HIDDEN = ['TOKEN', '.env', '# A project']

describe('what the rules hide', () => {
  const forms = EXPORT_FORMATS.flatMap((format) => {
    const contents = format === 'patch' ? ['delta'] : format === 'oci-image' ? ['whole'] : ['whole', 'delta']
    return contents.map((content) => [format, content as 'whole' | 'delta'] as const)
  })

  test.each(forms)(
    'is not in a %s of the %s, nor in one of a snapshot whose sandbox is gone',
    async (format, content) => {
      const server = fixture?.server
      const bytes = unpacked(format, Buffer.concat(await collect(sandbox.export({ format, content }))))
      for (const text of HIDDEN) expect(bytes.includes(text), text).toBe(false)
      expect(bytes.includes('new')).toBe(true)

      await using other = await Sandbox.fromLocal(fixture?.project ?? '', { ...(server && { server }), start: false })
      const { id } = await other.snapshot()
      await other.kill()
      const since = content === 'delta' ? { content, since: 'origin' as const } : { content }
      const pieces = server?.snapshots.export(id, { format, ...since }) ?? []
      const kept = unpacked(format, Buffer.concat(await collect(pieces as AsyncIterable<Uint8Array>)))
      expect(kept.includes('TOKEN') || kept.includes('.env')).toBe(false)
    },
  )

  test.each(['view', 'delta'] as const)('is not in the tar of the live %s', async (content) => {
    const bytes = Buffer.concat(await collect(sandbox.exportSnapshot({ content })))
    for (const text of HIDDEN) expect(bytes.includes(text), text).toBe(false)
    expect(bytes.includes('new')).toBe(true)
  })

  test('is in one that the owner asks for by name', async () => {
    const bytes = Buffer.concat(await collect(sandbox.export({ as: 'owner' })))
    for (const text of HIDDEN) expect(bytes.includes(text), text).toBe(true)
  })

  test('is in none of a codebase unless the owner asks, for it has no rules', async () => {
    const { connection } = fixture?.server ?? {}
    expect(connection).toBeDefined()
    const bytes = Buffer.concat(
      await collect(fixture?.server.exportCodebase(sandbox.codebaseId) as AsyncIterable<Uint8Array>),
    )
    expect(bytes.includes('TOKEN')).toBe(true)
  })
})

/** So that what is looked for can be found: no compression. */
function unpacked(format: ExportFormat, bytes: Buffer): Buffer {
  if (format === 'tar.gz') return gunzipSync(bytes)
  if (format === 'tar.zst') return execFileSync('zstd', ['-dcq'], { input: bytes })
  if (format === 'zip') return execFileSync('bsdtar', ['-cf', '-', '@-'], { input: bytes })
  if (format !== 'git-bundle') return bytes
  const script =
    'git init -q --bare "$1" && cd "$1" && cat > b && git fetch -q b "+refs/heads/*:refs/heads/*" && git log -p croft && git ls-tree -r croft'
  const dir = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim()
  try {
    return execFileSync('sh', ['-c', script, 'sh', dir], { input: bytes })
  } finally {
    execFileSync('rm', ['-rf', dir])
  }
}
