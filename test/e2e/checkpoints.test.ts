import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { NotFoundError, Sandbox, type Server } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let server: Server
let plain: Sandbox
let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  ;({ server, sandbox: plain } = fixture)
  const options = { server, preset: 'development', checkpoint: 'each-command' } as const
  sandbox = await Sandbox.create({ ...options, codebase: plain.codebaseId })
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  await sandbox.discard()
})

async function out(script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await sandbox.run(script)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}

/** Those that were made by what `work` did. */
async function made(work: () => Promise<unknown>): Promise<string[]> {
  const before = (await sandbox.checkpoints()).at(-1)?.id
  await work()
  const all = await sandbox.checkpoints()
  return all.slice(all.findIndex(({ id }) => id === before) + 1).map(({ command }) => command)
}

describe('a checkpoint', () => {
  test('is made before each command that follows a change, and for none that follows none', async () => {
    await using session = await sandbox.session()
    const commands = await made(async () => {
      await out('echo 1 > build/one')
      await out('cat build/one; ls -R > /dev/null')
      await sandbox.run(['cp', 'build/one', 'build/two'])
      await session.run('echo 3 > build/three')
      await session.run('true')
      await (await sandbox.commands.start('echo 4 > build/four')).wait()
      await out(`: ${'x'.repeat(300)}`)
    })
    expect(commands).toEqual([
      'cat build/one; ls -R > /dev/null',
      'echo 3 > build/three',
      'true',
      `: ${'x'.repeat(198)}`,
    ])
  })

  test('is none of a sandbox that does not want them', async () => {
    await plain.run('echo 1 > build/one; echo 2 > build/two')
    await plain.run('echo 3 > build/three')
    expect(await plain.checkpoints()).toEqual([])
    expect((await plain.info()).checkpoint).toBeUndefined()
    expect((await sandbox.info()).checkpoint).toBe('each-command')
  })

  test('is what a fork of its sandbox makes too', async () => {
    const [fork] = await sandbox.fork(1)
    await fork?.run('echo 1 > build/one')
    await fork?.run('true')
    expect((await fork?.checkpoints())?.map(({ command }) => command)).toEqual(['echo 1 > build/one', 'true'])
    await fork?.kill()
  })

  test('is a side of a diff, against the base, another one, a snapshot and what the sandbox is now', async () => {
    await out('echo one > build/file')
    await out('echo two > build/file')
    const snapshot = await sandbox.snapshot()
    const checkpoint = (await sandbox.checkpoints()).at(-1)
    const from = checkpoint?.id ?? 'base'
    expect((await sandbox.diff({ from })).toString()).toContain('-one\n+two\n')
    expect((await sandbox.diff({ to: from })).toString()).toContain('+one\n')
    expect((await sandbox.diff({ from: snapshot.id, to: from })).toString()).toContain('-two\n+one\n')
    expect(await sandbox.diff({ from, to: from })).toHaveLength(0)
  })
})

describe('a rollback', () => {
  test('undoes a command while another goes on, and can be undone', async () => {
    await out('echo kept > build/kept')
    const running = await sandbox.commands.start('while sleep 0.05; do date +%N > build/ticks; done')
    await out('rm -r src README.md; echo spoilt > build/kept; mkdir build/new')
    const checkpoint = (await sandbox.checkpoints()).at(-1)
    const result = await sandbox.rollback(checkpoint?.id ?? '')
    expect(result).toMatchObject({ kept: [], before: { reason: 'rollback' } })
    expect(await out('cat build/kept README.md src/link; ls build')).toContain('kept\n# A project\necho built')
    await running.kill()
    await running.wait()
    await sandbox.rollback(result.before.id)
    expect(await out('cat build/kept; ls -A')).toBe('spoilt\nbuild\nempty\n')
  })

  test('goes back to a snapshot too, of a sandbox that runs and of one that does not', async () => {
    await out('echo first > build/state')
    const { id } = await sandbox.snapshot()
    await out('echo second > build/state; rm README.md')
    await sandbox.rollback(id)
    expect(await out('cat build/state README.md')).toBe('first\n# A project\n')
    await sandbox.stop()
    await sandbox.files.write('build/state', 'third', { as: 'owner' })
    await sandbox.rollback(id)
    await sandbox.start()
    expect(await out('cat build/state')).toBe('first\n')
  })

  test('of what is not there, or is another sandbox’s, is refused', async () => {
    await out('echo 1 > build/one')
    const [checkpoint] = await sandbox.checkpoints()
    await expect(plain.rollback(checkpoint?.id ?? '')).rejects.toThrow(NotFoundError)
    await expect(sandbox.rollback('ckpt_0123456789abcdef')).rejects.toThrow(NotFoundError)
    await expect(sandbox.rollback('yesterday')).rejects.toMatchObject({ field: 'id' })
    await expect(sandbox.discard(['../etc'])).rejects.toMatchObject({ field: 'paths[0]' })
    await sandbox.discard(Array.from({ length: 1000 }, () => 'empty'))
    const many = sandbox.discard(Array.from({ length: 1001 }, () => 'empty'))
    await expect(many).rejects.toMatchObject({ field: 'paths' })
    await expect(plain.diff({ from: checkpoint?.id ?? 'base' })).rejects.toThrow(NotFoundError)
  })
})

describe('discard', () => {
  test('undoes everything, or what is at some paths, and tells what became of it', async () => {
    await out('echo x > build/old; echo y > build/new; mv src lib; rm README.md')
    expect(await sandbox.discard(['build'])).toMatchObject({ removed: 1, restored: 1, moved: 0, kept: [] })
    expect(await out('cat build/old; ls')).toBe('old\nbuild\nempty\nlib\n')
    expect(await sandbox.discard()).toMatchObject({ removed: 0, moved: 1, kept: [] })
    expect(await sandbox.changes()).toEqual([])
  })
})

describe('the command line', () => {
  test('lists checkpoints, rolls back and discards', async () => {
    const croft = (...args: string[]) =>
      execFileSync(process.execPath, [join(import.meta.dirname, '../../dist/sdk/cli/main.js'), ...args], {
        encoding: 'utf8',
        env: { ...process.env, ...fixture?.user.env },
      })
    await out('echo 1 > build/one')
    await out('echo 2 > build/one')
    const rows = croft('checkpoints', sandbox.id).trimEnd().split('\n')
    expect(rows.at(-1)).toMatch(/^ckpt_[0-9a-f]{16} .* echo 2 > build\/one$/)
    const id = rows.at(-1)?.split(' ')[0] ?? ''
    expect(croft('rollback', sandbox.id, id)).toMatch(/^ckpt_[0-9a-f]{16}\n$/)
    expect(await out('cat build/one')).toBe('1\n')
    expect(JSON.parse(croft('discard', sandbox.id, 'build/one', '--json'))).toMatchObject({ removed: 1 })
    expect(await sandbox.changes()).toEqual([])
    const made = croft('create', '--codebase', sandbox.codebaseId, '--checkpoint', 'each-command', '--no-start').trim()
    await using other = await Sandbox.connect(made, { server })
    expect((await other.info()).checkpoint).toBe('each-command')
    await other.kill()
  })
})
