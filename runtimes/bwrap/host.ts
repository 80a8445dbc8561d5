import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, lstat, mkdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BwrapHost, HOME, INSIDE_GID, INSIDE_UID } from './plan.ts'

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
const TOP_LEVEL = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'] as const

/**
 * Reads what a plan needs of the host, and writes the generated `/etc` into `stateDir`, which the sandboxes'
 * users must be able to reach. Its name is the hash of its contents: made once, and never changed.
 */
export async function readHost(stateDir: string): Promise<BwrapHost> {
  const links: { path: string; target: string }[] = []
  const directories: string[] = []
  for (const path of TOP_LEVEL) {
    if (!existsSync(path)) continue
    if ((await lstat(path)).isSymbolicLink()) links.push({ path, target: await readlink(path) })
    else directories.push(path)
  }
  const etcBinds = ETC_BINDS.filter((path) => existsSync(path))
  return { links, directories, etcBinds, etcDir: await writeEtc(stateDir, etcBinds) }
}

async function writeEtc(stateDir: string, mountPoints: readonly string[]): Promise<string> {
  const files = await etcFiles()
  const hash = createHash('sha256')
  for (const [name, content] of files) hash.update(`${name}\0${content.length}\0`).update(content)
  hash.update(mountPoints.join('\0'))
  const target = join(stateDir, `etc-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(target)) return target

  await mkdir(stateDir, { recursive: true })
  const making = join(stateDir, `.etc-${randomBytes(8).toString('hex')}`)
  try {
    // Modes are set, not asked for: the umask is the server's.
    await makeReadable(making)
    await makeReadable(join(making, 'ssl'))
    for (const path of mountPoints) await makeReadable(join(making, path.slice('/etc/'.length)))
    for (const [name, content] of files) {
      await writeFile(join(making, name), content)
      await chmod(join(making, name), 0o444)
    }
    await rename(making, target)
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    // Another process has made the same one meanwhile.
    if (!existsSync(target)) throw error
  }
  return target
}

async function makeReadable(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o755)
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
  put('shells', '/bin/sh', '/bin/bash')
  put('profile', 'export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"')
  for (const name of ETC_COPIES) {
    const path = join('/etc', name)
    if (existsSync(path)) files.set(name, await readFile(path))
  }
  return files
}
