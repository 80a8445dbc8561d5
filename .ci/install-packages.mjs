import { existsSync, readdirSync } from 'node:fs'
import { runCommand } from './command.mjs'
import { debianPackages, installLine, missingPackages } from './debian-packages.mjs'
import { SetupFailure } from './failure.mjs'
import { showStep } from './progress.mjs'

/**
 * Installs with apt what of the table is not there.
 *
 * @param {AbortSignal} signal
 */
export async function installPackages(signal) {
  // Elsewhere the product runs without local sandboxes, and there is no one way to install anything.
  if (process.platform !== 'linux') return
  const missing = missingPackages()
  if (missing.length === 0) return

  const what = missing.map((each) => `${each.name} (${each.reason})`).join('\n  ')
  if (!existsSync('/usr/bin/apt-get')) {
    throw new SetupFailure(`Not installed:\n  ${what}`, {
      remedy: 'This system has no apt-get. Install the equivalents of these Debian packages, then run this again.',
    })
  }
  if (process.getuid?.() !== 0) {
    throw new SetupFailure(`Not installed:\n  ${what}`, {
      remedy: `Run this line, then the same command again:\n  sudo ${installLine(missing)}`,
    })
  }
  const names = missing.map((each) => each.name)
  await showStep(`apt-get install ${names.join(' ')}`, async (tell) => {
    if (!hasPackageLists()) await apt(['update'], signal, tell)
    const install = ['install', '-y', '--no-install-recommends', ...names]
    const first = await tryApt(install, signal, tell)
    // Lists that are too old name files which the mirror no longer has.
    if (!first.ok && !signal.aborted) {
      await apt(['update'], signal, tell)
      await apt(install, signal, tell)
    }
  })
  const still = missingPackages()
  if (still.length > 0) {
    throw new SetupFailure(`Installed, but not found afterwards: ${still.map((each) => each.name).join(', ')}`, {
      remedy: `Look at what these packages hold here (dpkg -L) and at the table of ${debianPackages.length} in .ci/debian-packages.mjs.`,
    })
  }
}

function hasPackageLists() {
  const folder = '/var/lib/apt/lists'
  return existsSync(folder) && readdirSync(folder).some((name) => name.includes('_Packages'))
}

/** @param {readonly string[]} args @param {AbortSignal} signal @param {(line: string) => void} tell */
async function apt(args, signal, tell) {
  const result = await tryApt(args, signal, tell)
  if (result.ok) return
  throw new SetupFailure(`apt-get ${args.join(' ')}: ${result.ending}`, {
    lines: result.lines,
    remedy: 'Check the network and /etc/apt/sources.list*, then run this again.',
  })
}

/** @param {readonly string[]} args @param {AbortSignal} signal @param {(line: string) => void} tell */
function tryApt(args, signal, tell) {
  return runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], {
    env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
    signal,
    onLine: tell,
  })
}
