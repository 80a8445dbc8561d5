import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, lstat, mkdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type BwrapHost, HOME, INSIDE_GID, INSIDE_UID } from './plan.ts'
import { findHiddenProc } from './proc.ts'

/** Of the host's `/etc`, these show as they are: they are public, and without them programs and TLS fail. */
const ETC_BINDS = ['/etc/alternatives', '/etc/ssl/certs'] as const
const ETC_COPIES = [
  'ld.so.cache',
  'ld.so.conf',
  'localtime',
  'ssl/openssl.cnf',
  'services',
  'protocols',
  'mime.types',
] as const

/**
 * The same in every sandbox of every host, so that they tell nothing: neither where a program runs nor whether it has
 * run here before.
 */
const MACHINE_ID = 'c20f7000000040008000000000000001'
const BOOT_ID = 'c20f7000-0000-4000-8000-000000000002'

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
  const hash = createHash('sha256')
  for (const [name, content] of files) hash.update(`${name}\0${content.length}\0`).update(content)
  hash.update(mountPoints.join('\0')).update(bootId).update(agent)
  const target = join(stateDir, `made-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(target)) return target

  await mkdir(stateDir, { recursive: true })
  const making = join(stateDir, `.made-${randomBytes(8).toString('hex')}`)
  try {
    // Modes are set, not asked for: the umask is the server's.
    await makeReadable(making)
    await makeReadable(join(making, 'etc/ssl'))
    for (const path of mountPoints) await makeReadable(join(making, path))
    for (const [name, content] of files) await makeFile(join(making, 'etc', name), content, 0o444)
    await makeFile(join(making, 'boot-id'), bootId, 0o444)
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

async function etcFiles(): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  const put = (name: string, ...lines: string[]) =>
    files.set(name, Buffer.from(lines.map((line) => `${line}\n`).join('')))
  put(
    'passwd',
    'root:x:0:0:root:/nonexistent:/usr/sbin/nologin',
    `croft:x:${INSIDE_UID}:${INSIDE_GID}::${HOME}:/bin/sh`,
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  )
  put('group', 'root:x:0:', `croft:x:${INSIDE_GID}:`, 'nogroup:x:65534:')
  put('hosts', '127.0.0.1 localhost', '::1 localhost')
  put('nsswitch.conf', 'passwd: files', 'group: files', 'hosts: files dns', 'services: files', 'protocols: files')
  put('resolv.conf')
  put('machine-id', MACHINE_ID)
  put('shells', '/bin/sh', '/bin/bash')
  put('profile', 'export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"')
  for (const name of ETC_COPIES) {
    const path = join('/etc', name)
    if (existsSync(path)) files.set(name, await readFile(path))
  }
  return files
}
