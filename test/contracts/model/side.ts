import { type Answer, type Caller, startCaller } from '../../fixtures/caller/caller.ts'
import type { Stat } from '../../fixtures/caller/calls.ts'
import { calls } from '../../fixtures/caller/calls.ts'
import { HANDLES, type Step } from './steps.ts'

/** A place where steps are made, by some processes that keep what they open. */
export interface Side extends AsyncDisposable {
  /** Every process starts in `top`, a directory of `root`. */
  enter(root: string, top: string): Promise<void>
  /** All handles are closed, and nobody is there. */
  leave(): Promise<void>
  /** Where it was entered, once more. */
  goOn(): Promise<void>
  /** What the step gives, without what may differ from place to place. */
  make(step: Step): Promise<unknown>
  /** The same of all that is there, as root sees it. */
  tree(): Shown[]
  /** The number of each inode, by its path. */
  inodes(): Map<string, number>
}

interface Shown {
  readonly name: string
  readonly attributes: unknown
  /** The path where the inode was met first: names of one file share it. */
  readonly inode: string
  readonly contents: unknown
}

const S_IFMT = 0o170000
const [S_IFDIR, S_IFREG, S_IFLNK, S_IFIFO] = [0o040000, 0o100000, 0o120000, 0o010000]

export interface SideOptions {
  /** As whom each process runs. */
  readonly uids: readonly number[]
  /** The number of a file that is gone may be another's later, as on ext4. */
  readonly reusesNumbers: boolean
}

export async function startSide({ uids, reusesNumbers }: SideOptions): Promise<Side> {
  const callers = await Promise.all(uids.map((uid) => startCaller('/', uid)))
  const opened = callers.map(() => new Array<number | undefined>(HANDLES).fill(undefined))
  let place = { root: '/', top: '/', before: new Map<number, bigint>(), births: new Map<number, bigint>(), startNs: 0n }

  return {
    async enter(root, top) {
      place = { root, top, before: changeTimes(root), births: new Map(), startNs: BigInt(Date.now()) * 1_000_000n }
      for (const caller of callers) await caller.chdir(top)
    },
    async goOn() {
      for (const caller of callers) await caller.chdir(place.top)
    },
    async leave() {
      for (const [who, caller] of callers.entries()) {
        await closeAll(caller, opened[who] ?? [])
        await caller.chdir('/')
      }
    },
    async make(step) {
      const caller = callers[step.who]
      const handles = opened[step.who]
      if (caller === undefined || handles === undefined) throw new RangeError(`no process ${step.who}`)
      const args = step.args.map((arg) => {
        if (typeof arg !== 'object' || Array.isArray(arg)) return arg
        return 'handle' in arg ? handles[arg.handle] : 'repeat' in arg ? arg.repeat.repeat(arg.times) : arg
      })
      if (args.includes(undefined)) return 'not open'
      if (step.opens !== undefined) await closeAll(caller, handles, step.opens)
      const answer = await caller.answer(step.call, ...args)
      if (step.call === 'close') handles[handles.indexOf(args[0] as number)] = undefined
      if (step.opens === undefined || !('value' in answer)) return shownAnswer(step, answer)
      handles[step.opens] = answer.value as number
      return 'opened'
    },
    tree: () => walk(place.root, '', new Map()),
    inodes: () => new Map(allBelow(place.root).map(([path, { ino }]) => [path, ino])),
    async [Symbol.asyncDispose]() {
      await Promise.all(callers.map((caller) => caller[Symbol.asyncDispose]()))
    },
  }

  function shownAnswer(step: Step, answer: Answer): unknown {
    if ('errno' in answer) return answer.errno
    if (['stat', 'lstat', 'fstat'].includes(step.call)) return attributes(answer.value as Stat)
    if (step.args[0] === '/proc/self/cwd') return String(answer.value).replace(place.root, '')
    return answer.value
  }

  function walk(directory: string, prefix: string, met: Map<number, string>): Shown[] {
    return calls.readdir(directory).map((name) => {
      const at = `${directory}/${name}`
      const stat = calls.lstat(at)
      const inode = met.get(stat.ino) ?? prefix + name
      met.set(stat.ino, inode)
      const xattrs = calls.listxattr(at).map((each) => [each, calls.getxattr(at, each)])
      const contents = contentsOf(at, stat.mode & S_IFMT) ?? walk(at, `${prefix}${name}/`, met)
      return { name, attributes: { ...attributes(stat), xattrs }, inode, contents }
    })
  }

  /** Sizes of directories are their history on ext4; access times are the mount's own affair. */
  function attributes({ mode, nlink, uid, gid, size, ino, mtime, ctime, birthtime }: Stat) {
    const born = place.births.get(ino) ?? birthtime
    place.births.set(ino, born)
    return {
      ...{ mode: mode.toString(8), nlink, uid, gid, size: (mode & S_IFMT) === S_IFDIR ? 0 : size },
      // What goes through a FIFO is nobody's time on FUSE: the kernel keeps it, and keeps no times of it.
      mtime: (mode & S_IFMT) === S_IFIFO ? 0 : isNow(mtime) ? 'now' : mtime,
      hasChanged: place.before.get(ino) !== ctime,
      keepsBirth: reusesNumbers || born === birthtime,
    }
  }

  function isNow(time: bigint): boolean {
    return time > place.startNs - HOUR_NS && time < place.startNs + 24n * HOUR_NS
  }
}

const HOUR_NS = 3_600_000_000_000n

async function closeAll(caller: Caller, handles: (number | undefined)[], only?: number): Promise<void> {
  for (const [index, fd] of handles.entries()) {
    if (fd === undefined || (only !== undefined && index !== only)) continue
    // It may tell of writes that were gathered and then refused.
    await caller.answer('close', fd)
    handles[index] = undefined
  }
}

function changeTimes(root: string): Map<number, bigint> {
  return new Map(allBelow(root).map(([, { ino, ctime }]) => [ino, ctime]))
}

function allBelow(root: string, prefix = ''): [path: string, stat: Stat][] {
  return calls.readdir(`${root}/${prefix}`).flatMap((name) => {
    const stat = calls.lstat(`${root}/${prefix}${name}`)
    const below = (stat.mode & S_IFMT) === S_IFDIR ? allBelow(root, `${prefix}${name}/`) : []
    return [[prefix + name, stat] as [string, Stat], ...below]
  })
}

/** Null for a directory. */
function contentsOf(at: string, type: number): string | null {
  if (type === S_IFREG) return calls.readFile(at)
  if (type === S_IFLNK) return calls.readlink(at)
  return type === S_IFDIR ? null : ''
}
