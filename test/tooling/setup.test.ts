import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../..', import.meta.url))

let checkout: string

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'croft-setup-'))
  await cp(join(repository, '.ci'), join(checkout, '.ci'), { recursive: true })
  await mkdir(join(checkout, '.croft'))
  await put('package.json', { engines: { node: '>=20.19' } })
  await put('package-lock.json', lockfile('1.0.0'))
  await mkdir(join(checkout, 'node_modules'))
  await put('node_modules/.package-lock.json', lockfile('1.0.0'))
})

afterEach(() => rm(checkout, { recursive: true, force: true }))

async function put(path: string, contents: unknown): Promise<void> {
  await writeFile(join(checkout, path), JSON.stringify(contents))
}

function lockfile(version: string) {
  return { packages: { 'node_modules/one': { version, integrity: `sha512-${version}` } } }
}

async function putSources(typeScript: string, c: string): Promise<void> {
  await put('tsconfig.json', {
    compilerOptions: {
      module: 'nodenext',
      rootDir: '.',
      outDir: 'dist',
      incremental: true,
      tsBuildInfoFile: 'dist/.tsbuildinfo',
      types: [],
    },
    include: ['server'],
  })
  await mkdir(join(checkout, 'node_modules/.bin'), { recursive: true })
  await rm(join(checkout, 'node_modules/.bin/tsc'), { force: true })
  await symlink(join(repository, 'node_modules/.bin/tsc'), join(checkout, 'node_modules/.bin/tsc'))
  await mkdir(join(checkout, 'server'), { recursive: true })
  await writeFile(join(checkout, 'server/a.ts'), typeScript)
  await mkdir(join(checkout, 'runtimes/agent/src'), { recursive: true })
  await writeFile(join(checkout, 'runtimes/agent/src/main.c'), c)
}

function setUp(what: 'build' | 'no-build' = 'no-build') {
  const flags = what === 'build' ? [] : ['--no-build']
  return execa('node', ['.ci/setup.mjs', ...flags], { cwd: checkout, reject: false, all: true, stdin: 'ignore' })
}

describe('the set-up', () => {
  test('does nothing where node_modules is what the lock file says', async () => {
    const result = await setUp()
    expect(result.exitCode).toBe(0)
    expect(result.all).toMatch(/^✓ set up \(.*\)$/)
  })

  test('a Node that is too old is refused, saying what is needed', async () => {
    await put('package.json', { engines: { node: '>=999.1' } })
    const result = await setUp()
    expect(result.exitCode).toBe(1)
    expect(result.all).toContain(`This is Node ${process.versions.node}; Node >=999.1 is needed.`)
  })

  test('builds once, and again when a source has changed', async () => {
    await putSources('export const answer: number = 1\n', 'int main(void) { return 0; }\n')
    const first = await setUp('build')
    expect(first.all).toMatch(/✓ compile TypeScript .*\n✓ compile the agent .*\n✓ set up/)
    await execa(join(checkout, 'dist/runtimes/agent/croft-agent'))

    expect((await setUp('build')).all).toMatch(/^✓ set up \(.*\)$/)

    await putSources('export const answer: number = 1\n', 'int main(void) { return 42; }\n')
    expect((await setUp('build')).all).toContain('✓ compile the agent')
    const agent = await execa(join(checkout, 'dist/runtimes/agent/croft-agent'), { reject: false })
    expect(agent.exitCode).toBe(42)
  })

  test('a step that fails shows its last lines and what to do, and is tried again', async () => {
    await putSources("export const answer: number = 'one'\n", 'int main(void) { return 0; }\n')
    for (const _attempt of ['first', 'second']) {
      const result = await setUp('build')
      expect(result.exitCode).toBe(1)
      expect(result.all).toContain('✗ compile TypeScript')
      expect(result.all).toMatch(/ {2}\| server\/a\.ts\(1,14\): error TS2322/)
      expect(result.all).toMatch(/Set-up failed: tsc: exit code \d\nMend the errors above\./)
    }
  })

  test('an interrupt ends the running step with everything it has started', async () => {
    await putSources('export {}\n', 'int main(void) { return 0; }\n')
    const pidPipe = join(checkout, 'pid')
    await execa('mkfifo', [pidPipe])
    const compiler = join(checkout, 'node_modules/.bin/tsc')
    await rm(compiler)
    await writeFile(compiler, `#!/bin/sh\nsleep 1000 &\necho $! > ${pidPipe}\nwait\n`, { mode: 0o755 })

    const running = setUp('build')
    const pid = await readFile(pidPipe, 'utf8')
    running.kill('SIGINT')
    expect((await running).exitCode).toBe(130)
    // What is left of a killed process that nobody has waited for yet has no command line.
    expect(await readFile(`/proc/${pid.trim()}/cmdline`, 'utf8').catch(() => '')).toBe('')
    expect(await readdir(join(checkout, '.croft'))).toEqual([])
  })

  test('a lock whose holder was killed is taken over', async () => {
    const gone = await execa('node', ['-p', 'process.pid'])
    await writeFile(join(checkout, '.croft/setup.lock'), `${gone.stdout} 1`)
    const result = await setUp()
    expect(result.exitCode).toBe(0)
    expect(await readdir(join(checkout, '.croft'))).toEqual([])
  })

  test('a lock whose holder was killed and its process id used again is taken over', async () => {
    await writeFile(join(checkout, '.croft/setup.lock'), `${process.pid} 1`)
    expect((await setUp()).exitCode).toBe(0)
  })

  test('two at once in one checkout run one after the other', async () => {
    const holder = execa('node', ['--input-type=module', '-e', holdLockUntilTold], { cwd: checkout })
    await firstLine(holder)
    const second = setUp()
    expect(await firstLine(second)).toBe(`Waiting for the set-up that process ${holder.pid} runs in this checkout.`)
    holder.stdin.end()
    expect((await second).exitCode).toBe(0)
    await holder
  })

  test('an interrupted wait ends at once and leaves the lock to its holder', async () => {
    const holder = execa('node', ['--input-type=module', '-e', holdLockUntilTold], { cwd: checkout })
    await firstLine(holder)
    const second = setUp()
    await firstLine(second)
    second.kill('SIGINT')
    const result = await second
    expect(result.exitCode).toBe(130)
    expect(result.all).toContain('Set-up interrupted.')
    expect(await readdir(join(checkout, '.croft'))).toContain('setup.lock')
    holder.stdin.end()
    await holder
  })
})

const holdLockUntilTold = `
  import { withLock } from './.ci/lock.mjs'
  await withLock('.croft/setup.lock', new AbortController().signal, () => {}, async () => {
    console.log('held')
    for await (const _ of process.stdin) {}
  })
`

async function firstLine(child: { readonly stdout: Readable }): Promise<string> {
  const [chunk] = await once(child.stdout, 'data')
  return String(chunk).trim()
}
