import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { type Capabilities, NO_CAPABILITIES } from '../contract/capabilities.ts'
import type { Launched, LaunchSpec, Probe } from '../contract/runtime.ts'
import { lackOfFullNetwork } from './full-network.ts'

export interface ProbeOptions {
  readonly bwrapPath: string
  readonly agentPath: string
  readonly stateDir: string
}

export interface ProbeDependencies {
  readonly launch: (spec: LaunchSpec) => Promise<Launched>
  readonly capabilities: () => Promise<Capabilities>
}

/** Starts a sandbox with nothing in it, as any other is started, and ends it. Never throws. */
export async function probeBwrap(options: ProbeOptions, dependencies: ProbeDependencies): Promise<Probe> {
  const no = (reason: string, remedy?: string): Probe => ({
    available: false,
    reason,
    ...(remedy === undefined ? {} : { remedy }),
    capabilities: NO_CAPABILITIES,
  })
  if (process.platform !== 'linux') return no('bubblewrap runs on Linux only: choose another runtime')
  if (!existsSync(options.bwrapPath))
    return no(`there is no ${options.bwrapPath}: apt-get install bubblewrap`, 'apt-get install -y bubblewrap')
  if (!existsSync(options.agentPath))
    return no(`the agent is not built (${options.agentPath}): npm run setup`, 'npm run setup')
  try {
    const version = (await execa(options.bwrapPath, ['--version'])).stdout.replace(/^bubblewrap /, '')
    await launchOnce(options.stateDir, dependencies.launch, 'off')
    const capabilities = await dependencies.capabilities()
    const networkFull = lackOfFullNetwork() ?? (await whyNot(launchOnce(options.stateDir, dependencies.launch, 'full')))
    if (networkFull === undefined) return { available: true, version, capabilities }
    return { available: true, version, capabilities: { ...capabilities, networkFull: false }, lacks: { networkFull } }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return no(`${message}${remedyFor(message)}`, lineFor(message, options.stateDir))
  }
}

async function whyNot(launch: Promise<void>): Promise<string | undefined> {
  try {
    await launch
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function launchOnce(stateDir: string, launch: ProbeDependencies['launch'], mode: 'off' | 'full'): Promise<void> {
  await mkdir(stateDir, { recursive: true })
  const directory = await mkdtemp(join(stateDir, 'probe-'))
  const view = join(directory, 'view')
  try {
    await mkdir(view)
    // Whoever it runs as must reach it; mkdtemp lets only its maker in.
    const { uid, gid } = someoneElse()
    await chmod(directory, 0o711)
    const sandbox = await launch({
      sandboxId: `probe-${randomBytes(6).toString('hex')}`,
      instance: 'probe',
      viewPath: view,
      workspace: '/workspace',
      hostUid: uid,
      hostGid: gid,
      scratchDir: directory,
      hostname: 'probe',
      limits: {},
      network: { mode },
    })
    await sandbox.stop()
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** `nobody`, where we may be that; else ourselves. */
function someoneElse(): { uid: number; gid: number } {
  const uid = process.getuid?.() ?? 0
  return uid === 0 ? { uid: 65_534, gid: 65_534 } : { uid, gid: process.getgid?.() ?? uid }
}

/** Of the settings that keep user namespaces from programs, the one that does so here. */
function lineFor(message: string, stateDir: string): string | undefined {
  if (/namespace|uid map|userns/i.test(message)) {
    const found = NAMESPACE_SETTINGS.find(({ name, forbids }) => forbids(setting(name)))
    return found === undefined ? undefined : `sysctl -w ${found.name}=${found.allows}`
  }
  if (/find source path|Permission denied/i.test(message)) return `chmod o+x ${stateDir}  # and all above it`
  return undefined
}

const NAMESPACE_SETTINGS = [
  { name: 'kernel.unprivileged_userns_clone', forbids: (value: string) => value === '0', allows: 1 },
  { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: (value: string) => value === '1', allows: 0 },
  { name: 'user.max_user_namespaces', forbids: (value: string) => value === '0', allows: 15_000 },
] as const

/** Empty where this kernel has none of that name. */
function setting(name: string): string {
  const path = `/proc/sys/${name.replaceAll('.', '/')}`
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}

function remedyFor(message: string): string {
  if (/namespace|uid map|userns/i.test(message)) {
    return ': allow user namespaces: sysctl -w user.max_user_namespaces=15000 (Debian before 11: kernel.unprivileged_userns_clone=1; Ubuntu 24.04: kernel.apparmor_restrict_unprivileged_userns=0)'
  }
  if (/find source path|Permission denied/i.test(message)) {
    return ': let every user pass through the state directory: chmod o+x on it and on all above it'
  }
  return ''
}
