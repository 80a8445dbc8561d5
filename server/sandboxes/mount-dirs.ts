import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { execa } from 'execa'

export interface SandboxDirs {
  /** Where the view is mounted. */
  readonly view: string
  /** For the runtime's own files. */
  readonly scratch: string
}

/**
 * Where views are mounted: `DIR/<sandbox>/view`.
 *
 * The sandbox's host user has to reach its mount, as bwrap binds it with that user's rights; nobody else may,
 * and the mount table, which all users of the host can read, names it. So the way down is open to walk but not
 * to list (0711), and the sandbox's own directory is root's, open to the one group that no other sandbox and no
 * other process on the host has (0710). It is not writable for that group: nothing inside can put a link in
 * the server's way.
 */
export class MountDirs {
  readonly #dir: string

  private constructor(dir: string) {
    this.#dir = dir
  }

  static open(dir: string): MountDirs {
    const firstMade = mkdirSync(dir, { recursive: true, mode: 0o711 })
    // The mask is the server's, and may have taken away what the sandboxes' users need.
    for (let made = dir; firstMade !== undefined && made.startsWith(firstMade); made = dirname(made))
      chmodSync(made, 0o711)
    chmodSync(dir, 0o711)
    return new MountDirs(dir)
  }

  /** `gid`: of the sandbox's host user. */
  make(sandboxId: string, gid: number): SandboxDirs {
    const own = join(this.#dir, sandboxId)
    const dirs = { view: join(own, 'view'), scratch: join(own, 'scratch') }
    mkdirSync(own, { mode: 0o710 })
    mkdirSync(dirs.view, { mode: 0o700 })
    mkdirSync(dirs.scratch, { mode: 0o710 })
    if (gid !== process.getgid?.()) {
      chownSync(own, -1, gid)
      chownSync(dirs.scratch, -1, gid)
    }
    return dirs
  }

  /** The view must be unmounted: `rmdir` refuses otherwise, so that nothing of a view is ever removed this way. */
  remove(sandboxId: string): void {
    const own = join(this.#dir, sandboxId)
    if (!existsSync(own)) return
    rmdirSync(join(own, 'view'))
    rmSync(join(own, 'scratch'), { recursive: true, force: true })
    rmdirSync(own)
  }

  /** Of a server whose sandboxes have all ended: `rmdir` refuses where a view is still there. */
  close(): void {
    rmdirSync(this.#dir)
  }

  /** Detaches what an earlier server left mounted here, and nothing else. Returns how many there were. */
  async detachLeftovers(): Promise<number> {
    const stale = mountPoints(readFileSync('/proc/self/mountinfo', 'latin1')).filter((point) => this.#isBelow(point))
    // The last mounted first: one may lie on another.
    for (const point of stale.reverse()) await detach(point)
    for (const name of readdirSync(this.#dir)) this.#removeLeftover(join(this.#dir, name))
    return stale.length
  }

  #isBelow(point: string): boolean {
    return point.startsWith(`${this.#dir}/`)
  }

  #removeLeftover(own: string): void {
    for (const name of readdirSync(own)) {
      if (name === 'view') rmdirSync(join(own, name))
      else rmSync(join(own, name), { recursive: true, force: true })
    }
    rmdirSync(own)
  }
}

/** The fifth field of each line; blanks and the like stand there as octal escapes. */
export function mountPoints(mountinfo: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const point = line.split(' ')[4]
    return point === undefined ? [] : [unescaped(point)]
  })
}

function unescaped(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Lazily: whoever is still in there keeps it until he leaves, and a dead server behind it cannot hold us up. */
async function detach(point: string): Promise<void> {
  const [file, args] =
    process.geteuid?.() === 0 ? ['umount', ['--lazy', '--no-canonicalize']] : ['fusermount3', ['-u', '-z']]
  const { exitCode, stderr } = await execa(file, [...args, '--', point], { reject: false })
  if (exitCode !== 0) throw new Error(`cannot detach what an earlier server left mounted at ${point}: ${stderr}`)
}
