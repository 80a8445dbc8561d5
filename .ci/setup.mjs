#!/usr/bin/env node
// Makes a bare clone ready to run: system packages, node_modules, dist/. Uses nothing but Node's own modules.
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildAgent, buildFusePump, buildTypeScript } from './build.mjs'
import { SetupFailure } from './failure.mjs'
import { installModules } from './install-modules.mjs'
import { installPackages } from './install-packages.mjs'
import { withLock } from './lock.mjs'
import { duration } from './progress.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** @param {{ build: boolean, clean: boolean }} options @param {AbortSignal} signal */
async function setUp(options, signal) {
  checkNode()
  await installPackages(signal)
  await installModules(root, signal)
  if (options.clean) rmSync(join(root, 'dist'), { recursive: true, force: true })
  if (!options.build) return
  await buildTypeScript(root, signal)
  await buildAgent(root, signal)
  await buildFusePump(root, signal)
}

function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node
  const [needMajor = 0, needMinor = 0] = String(wanted).replace('>=', '').split('.').map(Number)
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return
  throw new SetupFailure(`This is Node ${process.versions.node}; Node ${wanted} is needed.`, {
    remedy: 'Install a newer Node (https://nodejs.org), then run this again.',
  })
}

async function main() {
  const { values } = parseArgs({
    options: { 'no-build': { type: 'boolean', default: false }, clean: { type: 'boolean', default: false } },
  })
  const interrupted = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)))
  }
  const startedMs = performance.now()
  try {
    await withLock(
      join(root, '.croft', 'setup.lock'),
      interrupted.signal,
      (pid) => process.stdout.write(`Waiting for the set-up that process ${pid} runs in this checkout.\n`),
      () => setUp({ build: !values['no-build'], clean: values.clean }, interrupted.signal),
    )
    process.stdout.write(`✓ set up (${duration(performance.now() - startedMs)})\n`)
  } catch (error) {
    if (interrupted.signal.aborted) {
      process.stderr.write('Set-up interrupted. What was finished stays; run it again to go on.\n')
      process.exitCode = 130
      return
    }
    if (!(error instanceof SetupFailure)) throw error
    for (const line of error.lines) process.stderr.write(`  | ${line}\n`)
    process.stderr.write(`Set-up failed: ${error.message}\n${error.remedy}\n`)
    process.exitCode = 1
  }
}

await main()
