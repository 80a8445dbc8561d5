import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let fixture: SdkSandbox | undefined
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  const { project, server } = fixture
  mkdirSync(join(project, 'conf/deep'), { recursive: true })
  writeFileSync(join(project, 'conf/deep/.env'), 'TOKEN=below\n')
  writeFileSync(join(project, 'conf/seen'), 'seen\n')
  writeFileSync(join(project, 'victim'), 'whole\n')
  sandbox = await Sandbox.fromLocal(project, { server, preset: 'development', checkpoint: 'each-command' })
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const SEARCH = 'ls -aR; cat .env conf/deep/.env; grep -rs TOKEN .; true'

test('going back shows nothing of what the rules hide, and loses none of it', async () => {
  await sandbox.run('rm -rf conf; mkdir -p conf/deep; ln -s ../.env conf/deep/link')
  await sandbox.run('true')
  const all = await sandbox.checkpoints()
  await sandbox.files.write('.env', 'TOKEN=rotated\n', { as: 'owner' })
  for (const { id } of [...all].reverse()) {
    await sandbox.rollback(id)
    const { stdout } = await sandbox.run(SEARCH)
    expect(stdout).not.toContain('TOKEN')
    expect(stdout).not.toMatch(/^\.env$/m)
    expect(await sandbox.files.readText('.env', { as: 'owner' })).toBe('TOKEN=rotated\n')
  }
  await sandbox.discard(['.env'])
  await sandbox.discard(['/'])
  expect(await sandbox.files.readText('.env', { as: 'owner' })).toBe('TOKEN=rotated\n')
  const [fork] = await sandbox.fork(1, { start: false })
  expect(await fork?.files.readText('conf/deep/.env', { as: 'owner' })).toBe('TOKEN=below\n')
  await fork?.kill()
  expect((await sandbox.run('cat conf/seen')).stdout).toBe('seen\n')
})

test('going back follows no link that a program has put in the place of a directory', async () => {
  await sandbox.run('mkdir -p build/out; echo first > build/out/victim')
  await sandbox.run('true')
  const { id = '' } = (await sandbox.checkpoints()).at(-1) ?? {}
  await sandbox.run('rm -r build/out; ln -s .. build/out; ln -s /etc build/etc')
  await sandbox.rollback(id)
  expect((await sandbox.run('cat victim build/out/victim; stat -c %F build/out; ls build')).stdout).toBe(
    'whole\nfirst\ndirectory\nold\nout\n',
  )
})

test('a program that fights a rollback harms neither it nor the server', async () => {
  await sandbox.discard()
  await sandbox.run('mkdir -p build/fight; for i in $(seq 30); do echo $i > build/fight/$i; done')
  await sandbox.run('true')
  const { id = '' } = (await sandbox.checkpoints()).at(-1) ?? {}
  const fight =
    'n=0; while :; do n=$((n+1)); i=$((n % 30)); rm -rf build/fight/$i; mkdir -p build/fight/$i/x; ' +
    'mv build/fight build/f2; ln -s /etc build/fight; rm build/fight; mv build/f2 build/fight; echo $n > build/fight/n; done'
  const running = await sandbox.commands.start(fight)
  for (let times = 0; times < 4; times++) await sandbox.rollback(id)
  await running.kill()
  await running.wait()
  await sandbox.rollback(id)
  const { stdout } = await sandbox.run('cat build/fight/* | sort -n | tr "\\n" " "; ls build')
  expect(stdout).toBe(`${Array.from({ length: 30 }, (_, index) => index + 1).join(' ')} fight\nold\n`)
})
