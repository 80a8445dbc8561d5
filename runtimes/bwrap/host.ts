import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, lstat, mkdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BOOT_ID, etcFiles } from './etc.ts'
import { NAME_SERVER } from './full-network.ts'
import type { BwrapHost } from './plan.ts'
import { findHiddenProc } from './proc.ts'

/** Of the host's `/etc`, these show as they are: they are public, and without them programs and TLS fail. */
const ETC_BINDS = ['/etc/alternatives', '/etc/ssl/certs'] as const
const TOP_LEVEL = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'] as const

/**
 * Reads what a plan needs of the host, and writes the generated `/etc` and the like into `stateDir`, which the sandboxes'
 * users must be able to reach. Its name is the hash of its contents: made once, and never changed.
 */
export async function readHost(stateDir: string, agentPath: string): Promise<BwrapHost> {
  const links: { path: string; target: string }[] = []
  const directories: string[] = []
  for (const path of TOP_LEVEL) {
    if (!existsSync(path)) continue
    if ((await lstat(path)).isSymbolicLink()) links.push({ path, target: await readlink(path) })
    else directories.push(path)
  }
  const etcBinds = ETC_BINDS.filter((path) => existsSync(path))
  const made = await writeFiles(stateDir, etcBinds, await readFile(agentPath))
  return {
    ...{ links, directories, etcBinds },
    etcDir: join(made, 'etc'),
    resolvConf: join(made, 'resolv.conf'),
    proc: {
      hidden: findHiddenProc(),
      closedFile: join(made, 'closed'),
      bootIdFile: join(made, 'boot-id'),
      emptyDir: join(made, 'empty'),
      processOneDir: join(made, 'process-1'),
    },
  }
}

/** A directory with all that is made for sandboxes: `etc`, the agent, what is bound over parts of `/proc`. */
async function writeFiles(stateDir: string, mountPoints: readonly string[], agent: Buffer): Promise<string> {
  const files = await etcFiles()
  const bootId = Buffer.from(`${BOOT_ID}\n`)
  const resolvConf = Buffer.from(`nameserver ${NAME_SERVER}\n`)
  const hash = createHash('sha256')
  for (const [name, content] of files) hash.update(`${name}\0${content.length}\0`).update(content)
  hash.update(mountPoints.join('\0')).update(bootId).update(resolvConf).update(agent)
  const target = join(stateDir, `made-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(target)) return target

  await mkdir(stateDir, { recursive: true })
  const making = join(stateDir, `.made-${randomBytes(8).toString('hex')}`)
  try {
    // Modes are set, not asked for: the umask is the server's.
    await makeReadable(making)
    for (const path of mountPoints) await makeReadable(join(making, path))
    for (const [name, content] of files) {
      await makeReadable(dirname(join(making, 'etc', name)))
      await makeFile(join(making, 'etc', name), content, 0o444)
    }
    await makeFile(join(making, 'boot-id'), bootId, 0o444)
    await makeFile(join(making, 'resolv.conf'), resolvConf, 0o444)
    await makeReadable(join(making, 'empty'))
    await makeReadable(join(making, 'process-1'))
    await makeFile(join(making, 'process-1/exe'), agent, 0o555)
    await makeFile(join(making, 'closed'), Buffer.alloc(0), 0)
    await rename(making, target)
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    // Another process has made the same one meanwhile.
    if (!existsSync(target)) throw error
  }
  return target
}

async function makeReadable(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true })
  for (let each = directory; each.length >= (first ?? directory).length; each = dirname(each)) await chmod(each, 0o755)
}

async function makeFile(path: string, content: Buffer, mode: number): Promise<void> {
  await writeFile(path, content)
  await chmod(path, mode)
}
