import * as fs from 'node:fs'
import { calls } from '../../fixtures/caller/calls.ts'
import { Model } from './model.ts'
import { type Done, type History, monotonicUs, type Operation, pattern } from './operation.ts'
import { nextOperations, randomFrom } from './plan.ts'

/** What a writer is told to do in one round. */
export interface Order {
  /** Its own directory on the mount. */
  readonly dir: string
  /** A directory on the mount whose modification time is the number of its last operation that is over. */
  readonly mark: string
  readonly markBase: number
  readonly seed: number
  readonly planted: readonly { readonly name: string; readonly tag: number; readonly length: number }[]
  readonly writesThrough: boolean
  /** It ends after so many operations if nobody stops it. */
  readonly maxOperations: number
  /** The process that it kills then: the others are in the middle of something. */
  readonly kills: number | null
}

/** The errors of a mount whose server has gone. */
const GONE = ['ENOTCONN', 'ECONNABORTED', 'EIO']

const RENAME_EXCHANGE = 2
/** Open, with what the kernel may not have sent, until the next round. */
const kept = new Map<string, number>()

process.umask(0o022)
process.on('message', (order: Order) => process.send?.(work(order)))

/** Works until its mount is gone, one call after the other. */
function work(order: Order): History {
  for (const fd of kept.values()) closeQuietly(fd)
  kept.clear()
  const random = randomFrom(order.seed)
  const model = new Model({ writesThrough: order.writesThrough })
  for (const { name, tag, length } of order.planted) model.plant(name, tag, length)
  const done: Done[] = []
  let answered = 0
  let killedUs = 0
  try {
    process.chdir(order.dir)
    while (answered < order.maxOperations) {
      for (const operation of nextOperations(model, random, answered + 1)) {
        const entry: Done = { operation, beganUs: monotonicUs(), noteBeganUs: 0, notedUs: 0 }
        done.push(entry)
        perform(operation)
        answered++
        model.apply(operation, answered)
        entry.noteBeganUs = monotonicUs()
        fs.utimesSync(order.mark, order.markBase + answered, order.markBase + answered)
        entry.notedUs = monotonicUs()
      }
    }
    if (order.kills !== null) {
      killedUs = monotonicUs()
      process.kill(order.kills, 'SIGKILL')
    }
  } catch (error) {
    if (!GONE.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  const endedUs = monotonicUs()
  process.chdir('/')
  return { done, answered, endedUs, killedUs }
}

function perform(operation: Operation): void {
  const path = operation.path === '' ? '.' : operation.path
  switch (operation.op) {
    case 'create': {
      const fd = fs.openSync(path, 'wx')
      return handled(fd, operation, 0)
    }
    case 'write': {
      const fd = fs.openSync(path, operation.append ? 'a' : 'r+')
      return handled(fd, operation, operation.offset)
    }
    case 'truncate':
      return fs.truncateSync(path, operation.size)
    case 'fallocate':
      return withFile(path, 'r+', (fd) =>
        calls.fallocate(fd, operation.mode, operation.from, operation.to - operation.from),
      )
    case 'syncFile':
      return withFile(path, 'r', (fd) => (operation.sync === 'fsync' ? fs.fsyncSync(fd) : fs.fdatasyncSync(fd)))
    case 'syncDirectory':
      return withFile(path, 'r', (fd) => fs.fsyncSync(fd))
    case 'mkdir':
      return void fs.mkdirSync(path)
    case 'rmdir':
      return fs.rmdirSync(path)
    case 'unlink':
      return fs.unlinkSync(path)
    case 'rename':
      return fs.renameSync(path, operation.to)
    case 'exchange':
      return void calls.rename2(path, operation.to, RENAME_EXCHANGE)
    case 'link':
      return fs.linkSync(path, operation.to)
    case 'symlink':
      return fs.symlinkSync(operation.target, path)
    case 'chmod':
      return fs.chmodSync(path, operation.mode)
    case 'setxattr':
      return void calls.setxattr(path, operation.name, operation.value)
    case 'removexattr':
      return void calls.removexattr(path, operation.name)
  }
}

function handled(fd: number, operation: Operation & { op: 'create' | 'write' }, offset: number): void {
  let open = true
  try {
    const data = pattern(operation.tag, offset, operation.length)
    const at = operation.op === 'write' && operation.append ? null : offset
    for (let from = 0; from < data.length; )
      from += fs.writeSync(fd, data, from, data.length - from, at === null ? null : at + from)
    if (operation.sync === 'fsync') fs.fsyncSync(fd)
    else if (operation.sync === 'fdatasync') fs.fdatasyncSync(fd)
    if (operation.keepsOpen) {
      const key = `${fs.fstatSync(fd).ino}`
      // One descriptor a file is enough to keep its pages from being sent; a second one closed would send them.
      if (!kept.has(key) && kept.size < 20) {
        kept.set(key, fd)
        open = false
        return
      }
    }
  } finally {
    if (open) fs.closeSync(fd)
  }
}

function withFile(path: string, flags: string, use: (fd: number) => unknown): void {
  const fd = fs.openSync(path, flags)
  try {
    use(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Of a mount that is gone, maybe. */
function closeQuietly(fd: number): void {
  try {
    fs.closeSync(fd)
  } catch (error) {
    if (!GONE.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
