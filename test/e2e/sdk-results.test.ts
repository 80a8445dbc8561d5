import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MEMORY_BYTES = 64 * 1024 * 1024
/** Reads 200 MB as one line, and keeps it. */
const HUNGRY = 'head -c 200000000 /dev/zero | tail -n 1 >/dev/null'

let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'control-groups'))) return
  fixture = await sdkSandbox({ resources: { memoryBytes: MEMORY_BYTES } })
  ;({ sandbox } = fixture)
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'control-groups'))

describe('a command over the memory of its sandbox', () => {
  test('says so in its result, and the sandbox goes on', async () => {
    expect(await sandbox.run(['sh', '-c', HUNGRY])).toMatchObject({ exitCode: 137, oomKilled: true })
    expect(await sandbox.run('echo fine')).toMatchObject({ stdout: 'fine\n', exitCode: 0, oomKilled: false })
  })

  test('says so in its error, with what mends it', async () => {
    await expect(sandbox.run(HUNGRY, { check: true })).rejects.toMatchObject({
      oomKilled: true,
      message: expect.stringMatching(/out of memory.*--memory/),
    })
  })

  test('is not taken for another that fails afterwards, or is killed by somebody', async () => {
    await sandbox.run(`${HUNGRY} || true`)
    expect(await sandbox.run('exit 1')).toMatchObject({ exitCode: 1, oomKilled: false })
    expect(await sandbox.run('kill -KILL $$')).toMatchObject({ exitCode: 137, oomKilled: false })
  })
})

describe('the result of a command', () => {
  test('has what it used', async () => {
    const { usage } = await sandbox.run('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done')
    expect(usage?.cpuUserMs).toBeGreaterThan(0)
    expect(usage?.peakMemoryBytes).toBeGreaterThan(100_000)
  })

  test('of a session has the CPU time, and no peak of memory, which only its shell is told', async () => {
    await using session = await sandbox.session()
    const { usage } = await session.run('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
    expect((usage?.cpuUserMs ?? 0) + (usage?.cpuSystemMs ?? 0)).toBeGreaterThan(0)
    expect(usage).not.toHaveProperty('peakMemoryBytes')
    expect(await session.run(HUNGRY)).toMatchObject({ oomKilled: true })
    expect(await session.run('exit 1')).toMatchObject({ exitCode: 1, oomKilled: false })
  })

  test('that is cut has no half of a character in its text', async () => {
    const { stdout, stdoutBytes } = await sandbox.run("printf 'ab\\303\\251'", { maxOutputBytes: 3 })
    expect([stdout, Buffer.from(stdoutBytes).toString('hex')]).toEqual(['ab', '6162c3'])
  })

  test('that ends within a character shows that, in its text and on its way', async () => {
    const running = sandbox.commands.run("printf 'a\\303'; sleep 0.1; printf '\\251\\342\\202'")
    let text = ''
    for await (const event of running) text += event.text
    expect([text, (await running).stdout]).toEqual(['a\u00e9\ufffd', 'a\u00e9\ufffd'])
  })
})
