import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Capabilities, NO_CAPABILITIES } from '../contract/capabilities.ts'
import type { Launched, LaunchSpec, Probe } from '../contract/runtime.ts'
import type { Engine, EngineInfo, EngineName } from './engine.ts'
import { remedyForEngine } from './remedy.ts'

export interface OciProbeOptions {
  readonly name: string
  readonly engineName: EngineName
  readonly socketPath: string
  readonly stateDir: string
  readonly agentPath: string
  readonly lacks: Probe['lacks']
}

export interface OciProbeDependencies {
  readonly engine: () => Engine
  readonly launch: (spec: LaunchSpec) => Promise<Launched>
  readonly capabilitiesOf: (info: EngineInfo) => Capabilities
}

/** Runs a container of an image of its own, with nothing in it, and removes both. Never throws. */
export async function probeOci(options: OciProbeOptions, dependencies: OciProbeDependencies): Promise<Probe> {
  const no = (reason: string, remedy?: string): Probe => ({
    available: false,
    reason,
    ...(remedy === undefined ? {} : { remedy }),
    capabilities: NO_CAPABILITIES,
  })
  if (process.platform !== 'linux') return no('containers can be had on Linux only: choose another runtime')
  // The engine's processes could not be told from the server's own, nor the view be shown to them.
  if (process.getuid?.() !== 0)
    return no(`a server that is not root cannot use ${options.name} yet: sudo croft serve`, 'sudo croft serve')
  if (!existsSync(options.agentPath))
    return no(`the agent is not built (${options.agentPath}): npm run setup`, 'npm run setup')
  try {
    const engine = dependencies.engine()
    const info = await engine.info()
    const image = await engine.importImage(emptyArchive())
    try {
      await launchOnce(options.stateDir, image, dependencies.launch)
    } finally {
      await engine.removeImage(image)
    }
    const capabilities = dependencies.capabilitiesOf(info)
    const { lacks } = options
    return { available: true, version: info.version, capabilities, ...(lacks === undefined ? {} : { lacks }) }
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error), remedyForEngine(options.engineName, error))
  }
}

async function launchOnce(stateDir: string, image: string, launch: OciProbeDependencies['launch']): Promise<void> {
  await mkdir(stateDir, { recursive: true })
  const scratchDir = await mkdtemp(join(stateDir, 'probe-'))
  const viewPath = join(scratchDir, 'view')
  try {
    await chmod(scratchDir, 0o711)
    await mkdir(viewPath)
    await chown(viewPath, NOBODY, NOBODY)
    const sandbox = await launch({
      sandboxId: `probe-${randomBytes(6).toString('hex')}`,
      instance: 'probe',
      ...{ viewPath, scratchDir, image },
      workspace: '/workspace',
      hostUid: NOBODY,
      hostGid: NOBODY,
      hostname: 'probe',
      limits: {},
      network: { mode: 'off' },
    })
    await sandbox.stop()
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

const NOBODY = 65_534

/** In the form of tar(1): one directory, and the two blocks that end it. */
function emptyArchive(): Buffer {
  const header = Buffer.alloc(512)
  header.write('tmp/', 0)
  header.write('0001777\0' + '0000000\0' + '0000000\0' + '00000000000\0' + '00000000000\0', 100)
  header.write('        5', 148)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, Buffer.alloc(1024)])
}
