import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HOME } from '../contract/spec.ts'
import { INSIDE_GID, INSIDE_UID } from './plan.ts'

/** Copied where they are there: they are public, and programs ask for them. */
const ETC_COPIES = [
  'ld.so.cache',
  'ld.so.conf',
  'localtime',
  'ssl/openssl.cnf',
  'services',
  'protocols',
  'mime.types',
  'os-release',
] as const

/** Whole directories: Debian's Java has its settings there, and does not start without. */
const ETC_TREES = /^java-\d+-openjdk$/
/** Of one such directory; a real one has some thirty files. */
const MAX_TREE_FILES = 1_000

/**
 * The same in every sandbox of every host, so that they tell nothing: neither where a program runs nor whether it has
 * run here before.
 */
const MACHINE_ID = 'c20f7000000040008000000000000001'
export const BOOT_ID = 'c20f7000-0000-4000-8000-000000000002'

/** All that is generated of `/etc`, by name; `etc` is the host's. */
export async function etcFiles(etc = '/etc'): Promise<Map<string, Buffer>> {
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
  const trees = (await readdir(etc)).filter((name) => ETC_TREES.test(name))
  const inTrees = await Promise.all(trees.map((tree) => publicFilesIn(etc, tree)))
  for (const name of [...ETC_COPIES, ...inTrees.flat()]) {
    const path = join(etc, name)
    if (existsSync(path)) files.set(name, await readFile(path))
  }
  return files
}

/** Names of the files that every user of the host may read. Links are left out: they may lead anywhere. */
async function publicFilesIn(etc: string, tree: string): Promise<string[]> {
  const found: string[] = []
  const entries = await readdir(join(etc, tree), { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile()).slice(0, MAX_TREE_FILES)) {
    const path = join(entry.parentPath, entry.name)
    if (((await stat(path)).mode & 0o004) !== 0) found.push(path.slice(etc.length + 1))
  }
  return found.sort()
}
