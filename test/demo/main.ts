import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type FromLocalOptions, PermissionDeniedError, Sandbox, Server, type UploadResult } from '../../sdk/index.ts'
import { Steps } from './steps.ts'

/**
 * The main job, end to end: this repository with its node_modules and .git and a planted .env is shown to an
 * untrusted command through a view with rules, under bubblewrap, over gRPC, by a server started for it alone.
 */
const repository = fileURLToPath(new URL('../../..', import.meta.url))
const secret = `DEMO_API_KEY=${Math.random().toString(36).slice(2)}`
const options: FromLocalOptions = {
  preset: 'agent-safe',
  permissions: { '/build/**': 'write' },
  // .gitignore leaves these out; a type check needs them, and .git and .env are there to be hidden.
  include: ['node_modules', '.env'],
  timeoutMs: 300_000,
}
const steps = new Steps()
const stop = new AbortController()
process.once('SIGINT', () => stop.abort(new Error('interrupted')))
process.once('SIGTERM', () => stop.abort(new Error('terminated')))

const home = await mkdtemp(join(tmpdir(), 'croft-demo-'))
for (const name of ['RUNTIME_DIR', 'STATE_HOME', 'CACHE_HOME']) {
  const directory = join(home, name)
  await mkdir(directory, { mode: 0o700 })
  process.env[`XDG_${name}`] = directory
}
delete process.env['CROFT_SERVER']

const planted = join(repository, '.env')
const plants = existsSync(planted) ? [] : [planted]
let serverPid: number | undefined
try {
  if (plants.includes(planted)) await writeFile(planted, `${secret}\n`, { mode: 0o600 })
  await demo()
} catch (error) {
  steps.failed(error)
  process.exitCode = 1
} finally {
  for (const path of plants) await rm(path, { force: true })
  if (serverPid !== undefined) await ended(serverPid)
  await rm(home, { recursive: true, force: true })
}
await steps.run('nothing is left: no mount, no process, no file', async () => {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(home))
  check(mounts.length === 0, `still mounted: ${mounts.join('\n')}`)
  const { stdout } = await execa('ps', ['-eo', 'args'])
  check(!stdout.includes(home), `a process still runs in ${home}`)
  check(!existsSync(home), `${home} is still there`)
  return `${home} is gone`
})
steps.summary()

async function demo(): Promise<void> {
  await using server = await steps.run('a server starts for this user alone, on a unix socket', async () => {
    const server = await Server.connect({}, stop.signal)
    const info = await server.info()
    serverPid = info.pid
    return [server, `${server.address}, process ${info.pid}`]
  })

  await using sandbox = await steps.run('the repository is uploaded, a sandbox sees it under agent-safe', async () => {
    const sandbox = await Sandbox.fromLocal(repository, { ...options, server, signal: stop.signal })
    return [sandbox, `${sandbox.id}: ${describe(sandbox.upload)}`]
  })

  await steps.run('uploaded again, nothing has to be sent', async () => {
    await using again = await Sandbox.fromLocal(repository, { ...options, server, signal: stop.signal })
    check(again.upload?.filesSent === 0, `${again.upload?.filesSent} files were sent again`)
    return describe(again.upload)
  })

  await steps.run('it lists the code', async () => {
    const { stdout } = await sandbox.run('ls', { check: true })
    check(stdout.includes('package.json') && stdout.includes('node_modules'), stdout)
    return stdout.trim().split('\n').join(' ')
  })

  await steps.run('.env and .git do not exist for it', async () => {
    const seen = await sandbox.run('ls -a; cat .env; cat .git/HEAD; find /workspace -name .env')
    check(!seen.stdout.includes('.env') && !seen.stdout.includes('.git\n'), seen.stdout)
    check(!seen.stdout.includes(secret), 'the secret was read')
    check(/\.env.*No such file/.test(seen.stderr) && /\.git\/HEAD.*No such file/.test(seen.stderr), seen.stderr)
    return seen.stderr.trim().split('\n').join('; ')
  })

  await steps.run('it type-checks the project inside', async () => {
    const tsc = ['node_modules/.bin/tsc', '-p', '.', '--noEmit', '--incremental', 'false']
    const { exitCode, stdout } = await sandbox.run(tsc)
    check(exitCode === 0, stdout)
    return 'tsc: no errors'
  })

  await steps.run("some of the project's unit tests run inside", async () => {
    const vitest = 'node_modules/.bin/vitest run --config test/vitest.config.ts --configLoader runner --cache=false'
    const { exitCode, stdout, stderr } = await sandbox.run(
      `${vitest} fs-layer/policy/policy.test.ts fs-layer/policy/glob.test.ts`,
      {
        env: { CROFT_TEST_REPORT: '/workspace/build/report.json', NO_COLOR: '1' },
      },
    )
    check(exitCode === 0, stdout + stderr)
    return stdout
      .split('\n')
      .filter((line) => /^ *(Test Files|Tests) /.test(line))
      .map((line) => line.trim())
      .join('; ')
  })

  await steps.run('it edits where it may, from inside and through the API', async () => {
    await sandbox.run('date > build/when.txt && mkdir build/deep && ln -s ../when.txt build/deep/link', { check: true })
    await sandbox.files.write('build/from-outside.txt', 'hello\n')
    await sandbox.run('sed -i s/hello/edited/ build/from-outside.txt', { check: true })
    const text = await sandbox.files.readText('build/from-outside.txt')
    check(text === 'edited\n', text)
    return 'build/when.txt, build/deep/link, build/from-outside.txt'
  })

  await steps.run('it is refused everywhere else', async () => {
    const refused = await sandbox.run('echo x >> README.md; rm package.json; mv sdk sdk2; touch .env; echo $(id -u)')
    check((refused.stderr.match(/Permission denied/g) ?? []).length === 4, refused.stderr)
    await rejects(sandbox.files.write('README.md', 'x'), PermissionDeniedError)
    return `4 commands as uid ${refused.stdout.trim()} and 1 call of the API: permission denied`
  })

  await steps.run('a session keeps its state', async () => {
    await using session = await sandbox.session()
    await session.run('cd build && x=42')
    const { stdout } = await session.run('echo $x in $(basename $PWD)')
    check(stdout === '42 in build\n', stdout)
    return stdout.trim()
  })

  await steps.run('the changes, and nothing but them', async () => {
    const changes = await sandbox.changes()
    check(
      changes.every(({ path }) => path === 'build' || path.startsWith('build/')),
      JSON.stringify(changes),
    )
    return changes.map(({ kind, path }) => `${kind} ${path}`).join(', ')
  })

  await steps.run('the snapshot is exported, and tar finds in it what the sandbox saw', async () => {
    const tar = join(home, 'snapshot.tar')
    const { bytes, sha256 } = await sandbox.exportSnapshot({ to: tar })
    const { stdout } = await execa('tar', ['-tf', tar], { maxBuffer: 1 << 28 })
    const names = new Set(stdout.split('\n'))
    check(names.has('build/when.txt') && names.has('package.json'), 'names are missing')
    check(![...names].some((name) => name === '.env' || name.startsWith('.git/')), 'hidden names are in it')
    const { stdout: contents } = await execa('tar', ['-xOf', tar, 'package.json'], { stripFinalNewline: false })
    check(contents === (await readFile(join(repository, 'package.json'), 'utf8')), 'package.json differs')
    return `${(bytes / 1e6).toFixed(0)} MB, ${names.size} names, SHA-256 ${sha256.slice(0, 16)}…`
  })

  await steps.run('all is destroyed', async () => {
    await sandbox.kill()
    const left = await Sandbox.list({ server })
    check(left.length === 0, `${left.length} sandboxes are left`)
    return 'no sandbox is left'
  })
}

function describe(upload: UploadResult | undefined): string {
  if (upload === undefined) throw new Error('the sandbox knows of no upload')
  const { files, bytes, filesSent, bytesSent } = upload
  return `${files} files of ${(bytes / 1e6).toFixed(0)} MB; sent ${filesSent} of ${(bytesSent / 1e6).toFixed(1)} MB`
}

function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}

async function rejects(work: Promise<unknown>, kind: abstract new (...args: never[]) => Error): Promise<void> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  check(outcome instanceof kind, `it was not refused with ${kind.name}: ${String(outcome)}`)
}

/** The server was started for this demo, so it is ended with it; resolves when it is gone. */
async function ended(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM')
  while (existsSync(`/proc/${pid}`)) await new Promise((done) => setTimeout(done, 20))
}
