import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa, type Options } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type PrivateUser, privateUser } from '../fixtures/private-user.ts'
import { needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let user: PrivateUser
let project: string

beforeAll(async () => {
  user = privateUser()
  project = mkdtempSync(join(tmpdir(), 'croft-project-'))
  writeFileSync(join(project, 'README.md'), 'read me\n')
  writeFileSync(join(project, '.env'), 'TOKEN=secret\n')
})

afterAll(async () => {
  await user[Symbol.asyncDispose]()
  rmSync(project, { recursive: true, force: true })
})

async function croft(args: readonly string[], options: Options = {}) {
  const { exitCode, stdout, stderr } = await execa('node', [MAIN, ...args], {
    env: user.env,
    reject: false,
    stdin: 'ignore',
    ...options,
  })
  return { exitCode, stdout: String(stdout), stderr: String(stderr) }
}

describe('without a server', () => {
  test('every command explains itself', async () => {
    const { stdout } = await croft(['--help'])
    const names = Array.from(stdout.matchAll(/^ {2}([a-z]+) .*/gm), ([, name]) => name)
    expect(names).toEqual(
      expect.arrayContaining([
        'run',
        'create',
        'exec',
        'shell',
        'ls',
        'cp',
        'changes',
        'export',
        'rm',
        'mount',
        'serve',
      ]),
    )
    for (const name of ['run', 'create', 'exec', 'cp', 'mount']) {
      const help = await croft([String(name), '--help'])
      expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Example') })
    }
  })

  test.each([
    [['frobnicate'], /unknown command/],
    [['run', '.', '--rule', 'x'], /is no rule/],
    [['run', '.', '--memory', 'lots'], /is no size/],
    [['run', '.'], /There is no command/],
    [['run', '.', '-c', 'a', '--', 'b'], /one of them/],
    [['ls', 'nonsense'], /is no sandbox/],
    [['cp', 'a', 'b'], /must be in a sandbox/],
    [['ls', '--server', 'unix:///no/such.sock'], /No Croft server answers/],
  ])('%j fails with 125 and says why on stderr alone', async (args, reason) => {
    expect(await croft(args)).toEqual({ exitCode: 125, stdout: '', stderr: expect.stringMatching(reason) })
  })

  test('an error with --json is one object with code and remedy', async () => {
    const { exitCode, stderr } = await croft([
      'run',
      '/no/such/folder',
      '--json',
      '--server',
      'unix:///no/such.sock',
      '--',
      'true',
    ])
    expect(exitCode).toBe(125)
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'server_unreachable', message: expect.any(String), remedy: expect.any(String) },
    })
  })

  test('the completion scripts are scripts', async () => {
    const { stdout } = await croft(['completion', 'bash'])
    const checked = await execa('bash', ['-n'], { input: stdout })
    expect(checked.exitCode).toBe(0)
    expect(stdout).toContain('--include')
  })

  test('the options of serve are those of the server', async () => {
    expect(await croft(['serve', '--help'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('--data-dir'),
    })
  })
})

describe('with a server', () => {
  beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

  test('run passes on output, input and the exit code, and destroys the sandbox', async () => {
    const command = 'cat; cat .env >&2; exit 7'
    const result = await execa('node', [MAIN, 'run', project, '-c', command], {
      env: user.env,
      reject: false,
      input: 'piped in',
    })
    expect(result).toMatchObject({
      exitCode: 7,
      stdout: 'piped in',
      stderr: expect.stringContaining('.env: No such file'),
    })
    expect(JSON.parse((await croft(['ls', '--json'])).stdout)).toEqual({ sandboxes: [] })
  })

  test('doctor tells through which device views are mounted, and why', async () => {
    const { filesystem } = JSON.parse((await croft(['doctor', '--json'])).stdout)
    expect(filesystem).toMatchObject({
      device: 'kernel',
      available: true,
      reason: expect.stringContaining('/dev/fuse'),
    })
    expect((await croft(['doctor'])).stdout).toMatch(/VIEWS\s+AVAILABLE\s+WHY\s+ABOUT\nkernel\s+yes\s+kernel: Linux/)
  })

  test('run passes on words that look like options of its own', async () => {
    const { stdout } = await croft(['run', project, '--', 'printf', '%s|', '--json', '--', '-c'])
    expect(stdout).toBe('--json|--|-c|')
  })

  test('run with --json is one object', async () => {
    const { stdout } = await croft(['run', project, '--json', '--env', 'A=1', '-c', 'echo $A'])
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 0, stdout: '1\n', upload: { files: 2 } })
  })

  test('a command that runs out of time ends with 124, one that a signal ended with 128 + its number', async () => {
    expect(await croft(['run', project, '--timeout', '200ms', '--', 'sleep', '60'])).toMatchObject({ exitCode: 124 })
    expect(await croft(['run', project, '-c', 'kill -TERM $$'])).toMatchObject({ exitCode: 143 })
  })

  test('Ctrl-C ends the command, destroys the sandbox and exits with 130', async () => {
    const child = spawn('node', [MAIN, 'run', project, '-c', 'echo ready; sleep 1000'], { env: user.env })
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
    expect(JSON.parse((await croft(['ls', '--json'])).stdout)).toEqual({ sandboxes: [] })
  })

  test('a reader that leaves early ends it, without a word', async () => {
    const { stdout, stderr } = await execa('sh', ['-c', `node ${MAIN} run ${project} -- yes | head -n 2`], {
      env: user.env,
    })
    expect({ stdout, stderr }).toEqual({ stdout: 'y\ny', stderr: '' })
  })

  test('a sandbox is made, used, looked at, exported and removed', async () => {
    const id = (await croft(['create', project, '--preset', 'development', '--label', 'team=a'])).stdout
    expect(id).toMatch(/^sb_[0-9a-f]{16}$/)
    expect((await croft(['ls'])).stdout).toContain(id)

    writeFileSync(join(user.dir, 'input'), 'input\n')
    expect((await croft(['cp', join(user.dir, 'input'), `${id}:data/in`])).exitCode).toBe(0)
    expect(
      (await croft(['exec', id, '-c', 'tr a-z A-Z < data/in > data/out; ln -s /etc/passwd data/link'])).exitCode,
    ).toBe(0)
    expect((await croft(['exec', id, '-i', '--', 'cat'], { input: 'typed', stdin: 'pipe' })).stdout).toBe('typed')
    expect((await croft(['changes', id])).stdout.split('\n')).toEqual(
      expect.arrayContaining(['A  data/', 'A  data/out']),
    )
    expect((await croft(['ls', `${id}:data`])).stdout).toMatch(/-0644 +6 .*data\/out/)

    expect((await croft(['cp', `${id}:data`, join(user.dir, 'copied')])).exitCode).toBe(0)
    expect(readFileSync(join(user.dir, 'copied/out'), 'utf8')).toBe('INPUT\n')
    expect(await croft(['cp', `${id}:data/out`, join(user.dir, 'copied/again')])).toMatchObject({ exitCode: 0 })

    const tar = join(user.dir, 'delta.tar')
    expect((await croft(['export', id, '--delta', '-o', tar])).exitCode).toBe(0)
    expect((await execa('tar', ['-tf', tar])).stdout).toContain('data/out')

    expect((await croft(['rm', id])).stdout).toBe(id)
    expect(await croft(['rm', id])).toMatchObject({ exitCode: 125, stderr: expect.stringContaining(id) })
    expect(await croft(['rm', '--force', id])).toMatchObject({ exitCode: 0, stdout: '' })
  })

  test('a file from inside never replaces what a link outside points at', async () => {
    const id = (await croft(['create', project, '--preset', 'development'])).stdout
    await croft(['exec', id, '-c', 'echo evil > f'])
    const victim = join(user.dir, 'victim')
    writeFileSync(victim, 'mine')
    await execa('ln', ['-s', victim, join(user.dir, 'lure')])
    expect((await croft(['cp', `${id}:f`, join(user.dir, 'lure')])).exitCode).toBe(0)
    expect(readFileSync(victim, 'utf8')).toBe('mine')
    await croft(['rm', id])
  })

  test('the names that a sandbox makes cannot speak to the terminal', async () => {
    const id = (await croft(['create', project, '--preset', 'development'])).stdout
    await croft(['exec', id, '-c', `: > "$(printf 'a\\033]0;b')"`])
    for (const args of [
      ['changes', id],
      ['ls', id],
    ])
      expect((await croft(args)).stdout).not.toContain('\u001b')
    await croft(['rm', id])
  })

  test('a terminal is one inside', async () => {
    const { stdout } = await croft(['run', project, '-t', '--', 'test', '-t', '1'])
    expect(stdout).toBe('')
    expect(await croft(['run', project, '-t', '-c', 'test -t 0 && exit 9'])).toMatchObject({ exitCode: 9 })
  })
})

describe('mount', () => {
  beforeEach((context) => needs(context, 'root', 'fuse'))

  test('shows a folder behind rules until it is told to stop, and never writes to the folder', async () => {
    const mountpoint = mkdtempSync(join(tmpdir(), 'croft-mount-'))
    const child = spawn(
      'node',
      [MAIN, 'mount', project, mountpoint, '--rule', '/**=write', '--rule', '**/.env=none', '--json'],
      { env: user.env },
    )
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(JSON.parse(line.toString())).toEqual({ mounted: mountpoint })
    expect(existsSync(join(mountpoint, '.env'))).toBe(false)
    writeFileSync(join(mountpoint, 'README.md'), 'changed\n')
    expect(readFileSync(join(mountpoint, 'README.md'), 'utf8')).toBe('changed\n')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(mountpoint)
    expect(readFileSync(join(project, 'README.md'), 'utf8')).toBe('read me\n')
    rmSync(mountpoint, { recursive: true })
  })
})
