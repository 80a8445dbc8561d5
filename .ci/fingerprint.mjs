import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Stands for the state of the given files and folders: names, sizes and times of change of all that `accepts`
 * takes. Reading no contents keeps it at a few milliseconds.
 *
 * @param {string} root
 * @param {readonly string[]} paths Relative to the root. What does not exist counts as absent.
 * @param {(name: string) => boolean} accepts
 */
export function fingerprint(root, paths, accepts) {
  const hash = createHash('sha256')
  for (const path of paths) add(hash, root, path, accepts)
  return hash.digest('hex')
}

/**
 * @param {import('node:crypto').Hash} hash
 * @param {string} root
 * @param {string} path
 * @param {(name: string) => boolean} accepts
 */
function add(hash, root, path, accepts) {
  const stat = statSync(join(root, path), { bigint: true, throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isDirectory()) {
    if (accepts(path)) hash.update(`${path}\0${stat.size}\0${stat.mtimeNs}\0`)
    return
  }
  for (const name of readdirSync(join(root, path)).sort()) {
    if (name !== 'node_modules') add(hash, root, join(path, name), accepts)
  }
}
