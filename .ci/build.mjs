import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from './command.mjs'
import { SetupFailure } from './failure.mjs'
import { fingerprint } from './fingerprint.mjs'
import { showStep } from './progress.mjs'

/**
 * Compiles the TypeScript into dist/, where a source is newer than what is there.
 *
 * @param {string} root
 * @param {AbortSignal} signal
 */
export async function buildTypeScript(root, signal) {
  const config = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'))
  const inputs = ['tsconfig.json', 'package.json', 'package-lock.json', 'proto', ...config.include]
  const state = fingerprint(root, inputs, (name) => name.endsWith('.ts') || name.endsWith('.json'))
  const stamp = join(root, 'dist', '.typescript-built-from')
  if (readStamp(stamp) === state && existsSync(join(root, 'dist', '.tsbuildinfo'))) return

  await showStep('compile TypeScript', async (tell) => {
    const result = await runCommand(join(root, 'node_modules', '.bin', 'tsc'), ['-p', root, '--pretty', 'false'], {
      cwd: root,
      signal,
      onLine: tell,
    })
    if (!result.ok) {
      throw new SetupFailure(`tsc: ${result.ending}`, { lines: result.lines, remedy: 'Mend the errors above.' })
    }
    writeFileSync(stamp, state)
  })
}

/**
 * Compiles the agent, the static program that is process 1 of every sandbox.
 *
 * @param {string} root
 * @param {AbortSignal} signal
 */
export async function buildAgent(root, signal) {
  const sources = join('runtimes', 'agent', 'src')
  await buildProgram(root, signal, 'the agent', sources, join('runtimes', 'agent', 'croft-agent'))
}

/**
 * Compiles the program that mounts /dev/fuse where a guest would, for the tests. A package has none of these.
 *
 * @param {string} root
 * @param {AbortSignal} signal
 */
export async function buildFusePump(root, signal) {
  const sources = join('test', 'fixtures', 'fuse-pump')
  if (existsSync(join(root, sources))) await buildProgram(root, signal, 'the pump', sources, join(sources, 'fuse-pump'))
}

/**
 * @param {string} root
 * @param {AbortSignal} signal
 * @param {string} title
 * @param {string} folder of the sources
 * @param {string} file below dist
 */
async function buildProgram(root, signal, title, folder, file) {
  if (process.platform !== 'linux') return
  const output = join(root, 'dist', file)
  const stamp = `${output}.built-from`
  const state = fingerprint(root, [folder], (name) => /\.[ch]$/.test(name)) + flags.join(' ')
  if (readStamp(stamp) === state && existsSync(output)) return

  await showStep(`compile ${title}`, async (tell) => {
    const sources = readdirSync(join(root, folder)).filter((name) => name.endsWith('.c'))
    mkdirSync(dirname(output), { recursive: true })
    // Aside first: a program that is running cannot be overwritten (ETXTBSY), but its name can be given away.
    const aside = `${output}.${process.pid}`
    const args = [...flags, '-o', aside, ...sources.sort().map((name) => join(folder, name))]
    const result = await runCommand('cc', args, { cwd: root, signal, onLine: tell })
    if (!result.ok) {
      rmSync(aside, { force: true })
      throw new SetupFailure(`cc: ${result.ending}`, { lines: result.lines, remedy: 'Mend the errors above.' })
    }
    renameSync(aside, output)
    writeFileSync(stamp, state)
  })
}

const flags = ['-std=c11', '-O2', '-static', '-pthread', '-Wall', '-Wextra', '-Werror']

/** @param {string} path */
function readStamp(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}
