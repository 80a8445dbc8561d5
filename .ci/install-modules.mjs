import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.mjs'
import { SetupFailure } from './failure.mjs'
import { showStep } from './progress.mjs'

/**
 * Runs `npm ci` where node_modules is not what package-lock.json says.
 *
 * @param {string} root
 * @param {AbortSignal} signal
 */
export async function installModules(root, signal) {
  if (modulesMatchLock(root)) return
  await showStep('npm ci', async (tell) => {
    const result = await runCommand('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, signal, onLine: tell })
    if (result.ok) return
    throw new SetupFailure(`npm ci: ${result.ending}`, {
      lines: result.lines,
      remedy: 'Check the network and the registry that npm uses (npm config get registry), then run this again.',
    })
  })
}

/**
 * npm writes node_modules/.package-lock.json last of all, so it also tells an installation that was cut short.
 * What is optional may be missing: it is for another platform, or could not be built here.
 *
 * @param {string} root
 */
function modulesMatchLock(root) {
  const installedPath = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = packagesOf(join(root, 'package-lock.json'))
  const installed = packagesOf(installedPath)
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue
    const there = installed[path]
    if (there === undefined) {
      if (entry.optional !== true) return false
    } else if (there.version !== entry.version || there.integrity !== entry.integrity) {
      return false
    }
  }
  return Object.keys(installed).every((path) => wanted[path] !== undefined)
}

/**
 * A file that is no JSON (a merge left half-way) has no packages: npm then says what is wrong with it.
 *
 * @param {string} path
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }>}
 */
function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages ?? {}
  } catch (error) {
    if (error instanceof SyntaxError) return {}
    throw error
  }
}
