import { constants } from 'node:fs'
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises'

export interface Places {
  /** Directories of the server's host. None: nothing can be named. */
  readonly roots: readonly string[]
}

/**
 * Opens a file below one of the roots, wherever links lead. A path outside is refused without a look at it, and one
 * that a link leads out of there in the same words, so that nobody learns what is elsewhere on the host.
 */
export async function openBelow(path: string, { roots }: Places): Promise<FileHandle> {
  if (roots.length === 0) {
    throw new Error(`${path} cannot be used: the server's setting \`images.roots\` names no directory for archives`)
  }
  const outside = () => new Error(`${path} is not below a directory of the server's setting \`images.roots\``)
  if (!roots.some((root) => isBelow(path, root))) throw outside()
  const realRoots = await Promise.all(roots.map((root) => realpath(root).catch(() => undefined)))
  const isInside = (real: string) => realRoots.some((root) => root !== undefined && isBelow(real, root))
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${path} cannot be read (${error.code})`)
  })
  if (!isInside(real)) throw outside()
  // A FIFO would be waited for, and a link that has come since be followed.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW
  const file = await open(real, flags).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${path} cannot be read (${error.code})`)
  })
  try {
    // Directories on the way may have become links meanwhile: what counts is what was opened.
    if (!isInside(await readlink(`/proc/self/fd/${file.fd}`))) throw outside()
    if (!(await file.stat()).isFile()) throw new Error(`${path} is no file`)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

function isBelow(path: string, root: string): boolean {
  return path.startsWith(root.endsWith('/') ? root : `${root}/`)
}
