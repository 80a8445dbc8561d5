#!/usr/bin/env node
// Everything that can be judged without running the product. All checks run, whatever the first ones say.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand } from './command.mjs'
import { duration, showStep } from './progress.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const interrupted = new AbortController()

/**
 * @typedef {{ ok: boolean, lines: string[] }} Outcome
 * @type {readonly { name: string, holds: string, run: () => Promise<Outcome> }[]}
 */
const checks = [
  { name: 'format', holds: 'Biome would change nothing', run: () => tool('biome', ['format', '.']) },
  {
    name: 'lint',
    holds: 'rules, import cycles, arrows between folders',
    run: () => tool('biome', ['check', '--formatter-enabled=false', '--error-on-warnings', '.']),
  },
  { name: 'types', holds: 'TypeScript', run: () => tool('tsc', ['-p', '.', '--noEmit', '--pretty', 'false']) },
  { name: 'types of .ci', holds: 'JSDoc types', run: () => tool('tsc', ['-p', '.ci', '--pretty', 'false']) },
  { name: 'dead code', holds: 'no unused file, export or dependency', run: () => tool('knip', ['--no-progress']) },
  { name: 'lock file', holds: 'npm ci takes it on every platform', run: lockFileIsWhole },
  { name: 'proto lint', holds: 'the contract is well formed', run: () => buf(['lint']) },
  { name: 'proto format', holds: 'buf would change nothing', run: () => buf(['format', '--diff', '--exit-code']) },
  { name: 'proto generated', holds: 'proto/gen is what buf generates', run: generatedIsFresh },
  { name: 'wire', holds: 'nothing published has changed', run: wireIsUnbroken },
]

// npm writes no entry for an optional package that it could not ask the registry for (a mirror without the
// packages of other platforms), and `npm ci` then refuses the lock file as a whole.
async function lockFileIsWhole() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  /** @type {[string, { optionalDependencies?: Record<string, string> }][]} */
  const packages = Object.entries(lock.packages)
  const lines = packages.flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !(`node_modules/${name}` in lock.packages || `${path}/node_modules/${name}` in lock.packages))
      .map((name) => `package-lock.json has no entry for ${name}, which ${path} names`),
  )
  return { ok: lines.length === 0, lines }
}

async function generatedIsFresh() {
  return withTemporaryFolder(async (folder) => {
    const generated = await buf(['generate', '--output', folder])
    if (!generated.ok) return generated
    const compared = await run('diff', ['--recursive', '--brief', join(folder, 'gen'), join(root, 'proto', 'gen')])
    if (!compared.ok) compared.lines.push('Run: npm run gen')
    return compared
  })
}

// Copied aside because buf refuses to compare a module with a folder inside it.
async function wireIsUnbroken() {
  return withTemporaryFolder(async (folder) => {
    cpSync(join(root, 'proto', 'baseline'), folder, { recursive: true })
    return buf(['breaking', '--against', folder])
  })
}

/** @param {(folder: string) => Promise<Outcome>} work */
async function withTemporaryFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'croft-check-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {readonly string[]} args */
function buf(args) {
  return run(join(root, 'node_modules', '.bin', 'buf'), args, join(root, 'proto'))
}

/** @param {string} name @param {readonly string[]} args */
function tool(name, args) {
  return run(join(root, 'node_modules', '.bin', name), args)
}

/** @param {string} file @param {readonly string[]} args @param {string} [cwd] @returns {Promise<Outcome>} */
async function run(file, args, cwd = root) {
  const result = await runCommand(file, args, { cwd, signal: interrupted.signal })
  return { ok: result.ok, lines: result.ok ? [] : [...result.lines, result.ending] }
}

async function main() {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => interrupted.abort())
  }
  const rows = []
  for (const check of checks) {
    if (interrupted.signal.aborted) break
    const startedMs = performance.now()
    const outcome = await showStep(check.name, check.run, (result) => result.ok)
    rows.push({ ...check, ...outcome, ms: performance.now() - startedMs })
  }
  if (interrupted.signal.aborted) {
    process.exitCode = 130
    return
  }
  const failed = rows.filter((row) => !row.ok)
  for (const row of failed) console.log(`\n── ${row.name} ──\n${row.lines.join('\n')}`)
  console.log()
  for (const row of rows) {
    console.log(`${row.ok ? 'pass' : 'FAIL'}  ${row.name.padEnd(16)} ${duration(row.ms).padStart(7)}  ${row.holds}`)
  }
  process.exitCode = failed.length > 0 ? 1 : 0
}

await main()
