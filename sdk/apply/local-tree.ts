import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { CroftError, LocalFileError } from '../errors.ts'
import { type BytePath, fromBytes, toBytes, toText } from '../upload/byte-path.ts'
import { codeOf } from '../upload/walk.ts'

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants

/** What stands at a path of a folder. `blocked`: a link, or something else, is where one of its directories should be. */
export type LocalState =
  | { readonly kind: 'none' | 'directory' | 'other' | 'blocked' }
  | { readonly kind: 'file'; readonly sha256: string }
  | { readonly kind: 'symlink'; readonly target: BytePath }

let made = 0

/**
 * A local folder that is changed by paths from elsewhere. Each directory on the way is opened by itself, and never by way
 * of a link; so whatever stands in the folder, and whatever is put there meanwhile, nothing outside is touched.
 */
export class LocalTree {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  async stateOf(path: BytePath): Promise<LocalState> {
    return await this.#at<LocalState>(
      path,
      (code) => ({ kind: code === 'ENOENT' ? 'none' : 'blocked' }),
      async (local) => {
        const stat = missingAsNull(() => lstatSync(local))
        if (stat === null) return { kind: 'none' }
        if (stat.isDirectory()) return { kind: 'directory' }
        if (stat.isSymbolicLink()) {
          return { kind: 'symlink', target: fromBytes(readlinkSync(local, { encoding: 'buffer' })) }
        }
        return stat.isFile() ? { kind: 'file', sha256: await hashOf(local) } : { kind: 'other' }
      },
    )
  }

  async names(path: BytePath): Promise<BytePath[]> {
    return await this.#at<BytePath[]>(
      path,
      () => [],
      async (local) => {
        const fd = openSync(local, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        try {
          return readdirSync(fdPath(fd, local), { encoding: 'buffer' }).map(fromBytes)
        } finally {
          closeSync(fd)
        }
      },
    )
  }

  /** Whole under its name, or not at all. */
  async writeFile(path: BytePath, contents: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    await this.#change(path, async (local, beside) => {
      const file = await open(beside, 'wx', 0o600)
      try {
        for await (const chunk of contents) await file.writeFile(chunk)
        await file.chmod(mode & 0o777)
        await file.sync()
      } finally {
        await file.close()
      }
      renameSync(beside, local)
    })
  }

  async writeLink(path: BytePath, target: BytePath): Promise<void> {
    await this.#change(path, async (local, beside) => {
      symlinkSync(toBytes(target), beside)
      renameSync(beside, local)
    })
  }

  async setMode(path: BytePath, mode: number): Promise<void> {
    await this.#change(path, async (local) => {
      const file = await open(local, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      try {
        await file.chmod(mode & 0o777)
      } finally {
        await file.close()
      }
    })
  }

  async makeDirectory(path: BytePath): Promise<void> {
    await this.#change(path, async (local) => mkdirSync(local))
  }

  async removeFile(path: BytePath): Promise<void> {
    await this.#change(path, async (local) => rmSync(local))
  }

  /** False: something is left in it, and so it is. */
  async removeDirectory(path: BytePath): Promise<boolean> {
    return await this.#change(path, async (local) => {
      try {
        rmdirSync(local)
        return true
      } catch (error) {
        if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return false
        throw error
      }
    })
  }

  async #change<T>(path: BytePath, work: (local: Buffer, beside: Buffer) => Promise<T>): Promise<T> {
    const text = toText(path)
    const blocked = (): never => {
      throw new LocalFileError(text, `${text} cannot be reached: a directory on the way is none, or a link`)
    }
    return await this.#at(path, blocked, async (local, directory) => {
      const beside = Buffer.concat([directory, Buffer.from(`/.croft-${process.pid}-${made++}.part`)])
      try {
        return await work(local, beside)
      } catch (error) {
        rmSync(beside, { force: true })
        if (error instanceof CroftError) throw error
        throw new LocalFileError(text, `${text} cannot be changed (${codeOf(error)})`, { cause: error })
      }
    })
  }

  /** `unless`: for where there is no way, with the reason. */
  async #at<T>(
    path: BytePath,
    unless: (code: string) => T,
    work: (local: Buffer, directory: Buffer) => Promise<T>,
  ): Promise<T> {
    const names = path.split('/')
    if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0'))) {
      throw new LocalFileError(toText(path), `${toText(path)} is no path in a folder`)
    }
    const name = toBytes(names.pop() ?? '')
    let local: Buffer = Buffer.from(this.#root)
    let fd = openSync(local, O_RDONLY | O_DIRECTORY)
    try {
      for (const each of names) {
        local = below(fdPath(fd, local), toBytes(each))
        const next = openDirectory(local)
        if (typeof next === 'string') return unless(next)
        closeSync(fd)
        fd = next
      }
      const directory = fdPath(fd, local)
      return await work(below(directory, name), directory)
    } finally {
      closeSync(fd)
    }
  }
}

/** By descriptor where the system can: names under it are looked up in this very directory. */
function fdPath(fd: number, local: Buffer): Buffer {
  return process.platform === 'linux' ? Buffer.from(`/proc/self/fd/${fd}`) : local
}

function below(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from('/'), name])
}

async function hashOf(local: Buffer): Promise<string> {
  const file = await open(local, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    // A FIFO may have taken its place.
    if (!fstatSync(file.fd).isFile()) return ''
    const hash = createHash('sha256')
    for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer)
    return hash.digest('hex')
  } finally {
    await file.close()
  }
}

function missingAsNull<T>(action: () => T): T | null {
  try {
    return action()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** Never by way of a link. The reason where it is none. */
function openDirectory(local: Buffer): number | string {
  try {
    return openSync(local, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    const code = codeOf(error)
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(code)) return code
    throw error
  }
}
