import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import koffi from 'koffi'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NodeId } from '../protocol/filesystem.ts'
import { Delta } from './delta.ts'
import { DeltaError } from './delta-error.ts'
import { IN_INDEX, Inode, S_IFREG } from './inode.ts'
import { LOG_AFTER_SYNCS } from './limits.ts'
import { logPath } from './log-file.ts'
import { encodeRecord, LOG_BLOCK_BYTES, recordAt, saltOf } from './log-record.ts'
import type { CutOff } from './mend-index.ts'
import { Room } from './room.ts'

const ROOT: NodeId = 1
const LOG_BYTES = 64 * 1024

let scratch: string
let dir: string
let told: string[]

beforeEach(() => {
  scratch = fs.mkdtempSync(join(tmpdir(), 'croft-log-'))
  dir = join(scratch, 'delta')
  fs.mkdirSync(dir)
  told = []
})
afterEach(() => fs.rmSync(scratch, { recursive: true }))

describe('a delta whose syncs are in its log', () => {
  it('has all that was synced after the index lost what was not, however often the log was full', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step(), { minLength: 30, maxLength: 40 }), async (steps) => {
        fs.rmSync(dir, { recursive: true })
        fs.mkdirSync(dir)
        const seen = await play(steps)
        for (const { index, log, state } of seen) expect(await foundIn(index, log)).toEqual(state)
      }),
      { numRuns: 2 },
    )
    expect(told).toEqual([])
  }, 120_000)

  it('writes nothing to the index for a sync', async () => {
    const delta = await logged()
    const before = indexBytes()
    put(delta, 'file', 'contents')
    await delta.flush(true)
    expect(indexBytes()).toBe(before)
    expect(await foundIn(copyOf('index'), copyOf('log'))).toEqual({ file: 'contents' })
    await delta[Symbol.asyncDispose]()
  })

  it('takes what is waiting with the sync that is under way next', async () => {
    const delta = await logged()
    const before = records()
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => {
        put(delta, `f${n}`, `text ${n}`)
        return delta.flush(true)
      }),
    )
    expect(records() - before).toBeLessThanOrEqual(2)
    expect(Object.keys(await foundIn(copyOf('index'), copyOf('log')))).toHaveLength(50)
    await delta[Symbol.asyncDispose]()
  })

  it('has what it had when it was killed while the log made room, before and after', async () => {
    const delta = await logged()
    put(delta, 'kept', 'one')
    put(delta, 'gone', 'two')
    await delta.flush(true)
    const old = { index: copyOf('index'), log: copyOf('log') }
    remove(delta, 'gone')
    put(delta, 'large', 'x'.repeat(LOG_BYTES))
    await delta.flush(true)
    const large = { kept: 'one', large: 'x'.repeat(LOG_BYTES) }
    // The index is written, the log is as it was: its records are old now.
    expect(await foundIn(old.index, old.log)).toEqual({ kept: 'one', gone: 'two' })
    expect(await foundIn(copyOf('index'), old.log)).toEqual(large)
    put(delta, 'next', 'three')
    await delta.flush(true)
    // The first record is new, what comes behind it is of before.
    expect(await foundIn(copyOf('index'), copyOf('log'))).toEqual({ ...large, next: 'three' })
    // An index that has lost what was synced to it shows by the log.
    await expect(foundIn(old.index, copyOf('log'))).rejects.toThrow(/a sync is lost/)
    await delta[Symbol.asyncDispose]()
    expect(told).toEqual([])
  })

  it('lacks a record that was never finished, and says so', async () => {
    const delta = await logged()
    put(delta, 'one', '1')
    await delta.flush(true)
    const at = end()
    put(delta, 'two', 'x'.repeat(3 * LOG_BLOCK_BYTES))
    await delta.flush(true)
    const index = copyOf('index')
    for (const block of [0, 1, 2, 3]) {
      const log = copyOf('log')
      change(log, (bytes) => bytes.fill(0, at + block * LOG_BLOCK_BYTES, at + (block + 1) * LOG_BLOCK_BYTES))
      expect(await foundIn(index, log)).toEqual({ one: '1' })
    }
    // Of one whose beginning is not there either nobody knows.
    expect(told.filter((line) => line.includes(`${at}`))).toHaveLength(3)
    await delta[Symbol.asyncDispose]()
  })

  it.each([
    ['a record is damaged that others follow', (log: Buffer) => flip(log, LOG_BLOCK_BYTES + 60)],
    ['a record is gone that others follow', (log: Buffer) => log.fill(0, LOG_BLOCK_BYTES, 2 * LOG_BLOCK_BYTES)],
    ['its header is damaged', (log: Buffer) => flip(log, 20)],
    ['it is another delta’s', (log: Buffer) => log.fill(0)],
  ])('does not open where %s, and is not changed', async (_, damage) => {
    const delta = await logged()
    for (const name of ['one', 'two', 'three']) {
      put(delta, name, name)
      await delta.flush(true)
    }
    const [index, log] = [copyOf('index'), copyOf('log')]
    change(log, damage)
    const damaged = fs.readFileSync(log)
    const opening = foundIn(index, log)
    await expect(opening).rejects.toThrow(DeltaError)
    await expect(opening).rejects.toThrow(/log is damaged: .*Restore the directory/)
    expect(fs.readFileSync(log)).toEqual(damaged)
    await delta[Symbol.asyncDispose]()
  })

  it('does not open where the log is gone, but where it was ended in good order', async () => {
    const delta = await logged()
    put(delta, 'one', '1')
    await delta.flush(true)
    await expect(foundIn(copyOf('index'), null)).rejects.toThrow(/log is damaged: it is gone/)
    await delta[Symbol.asyncDispose]()
    expect(await foundIn(copyOf('index'), null)).toEqual({ one: '1' })
  })

  it('takes no contents of a file for a record', async () => {
    const delta = await logged()
    put(delta, 'one', '1')
    await delta.flush(true)
    const at = end()
    // As it would be for one who knows all but the salt; behind a record that was never finished it is looked at.
    const forged = encodeRecord({ before: 0, batch: 1e9, operations: [] }, Buffer.alloc(16))
    put(delta, 'two', Buffer.concat([Buffer.alloc(LOG_BLOCK_BYTES - 100), forged, forged]).toString('latin1'))
    await delta.flush(true)
    const log = copyOf('log')
    change(log, (bytes) => flip(bytes, at + 60))
    expect(await foundIn(copyOf('index'), log)).toEqual({ one: '1' })
    await delta[Symbol.asyncDispose]()
  })

  it('answers a sync that the log fails by the index, never by the log again', async () => {
    const delta = await logged()
    put(delta, 'one', '1')
    await delta.flush(true)
    using _full = inPlaceOfLog('/dev/full')
    put(delta, 'two', '2')
    await delta.flush(true)
    expect(told).toHaveLength(1)
    expect(told[0]).toContain('ENOSPC')
    // All is in the index; what the log had is not needed any more.
    expect(fs.existsSync(logPath(dir))).toBe(false)
    expect(await foundIn(copyOf('index'), null)).toEqual({ one: '1', two: '2' })
    const before = indexBytes()
    put(delta, 'three', '3')
    await delta.flush(true)
    expect(indexBytes()).toBeGreaterThan(before)
    await delta[Symbol.asyncDispose]()
    expect(told).toHaveLength(1)
  })

  it('does without a log where there is no room for one, and says so once', async () => {
    const delta = await open(dir, { logBytes: 2 ** 50 })
    for (let n = 0; n < LOG_AFTER_SYNCS + 3; n++) {
      put(delta, `f${n}`, `${n}`)
      await delta.flush(true)
      await setImmediate()
    }
    await delta[Symbol.asyncDispose]()
    expect(told).toHaveLength(1)
    expect(told[0]).toContain('ENOSPC')
    expect(fs.readdirSync(dir)).toEqual(['index'])
    expect(Object.keys(await foundIn(copyOf('index'), null))).toHaveLength(LOG_AFTER_SYNCS + 3)
  })

  it('takes the blocks of the log that is there, and nothing that it had', async () => {
    const delta = await logged()
    put(delta, 'one', '1')
    await delta.flush(true)
    const { ino } = fs.statSync(logPath(dir))
    const before = saltOf(fs.readFileSync(logPath(dir)))
    await delta[Symbol.asyncDispose]()
    const next = await logged()
    expect(fs.statSync(logPath(dir)).ino).toBe(ino)
    expect(saltOf(fs.readFileSync(logPath(dir)))).not.toEqual(before)
    expect(records()).toBe(2)
    await next[Symbol.asyncDispose]()
  })
})

type Step = { do: 'put'; name: string; bytes: number } | { do: 'remove'; name: string } | { do: 'flush' | 'sync' }

function step(): fc.Arbitrary<Step> {
  const name = fc.constantFrom('a', 'b', 'c', 'd')
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('put' as const), name, bytes: fc.integer({ max: 8000, min: 0 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), name }) },
    { weight: 1, arbitrary: fc.constant({ do: 'flush' as const }) },
    { weight: 4, arbitrary: fc.constant({ do: 'sync' as const }) },
  )
}

interface Seen {
  index: string
  log: string
  state: Record<string, string>
}

/** After each sync: what may be found then, which is the index as it is, or as it was when it was synced itself. */
async function play(steps: readonly Step[]): Promise<Seen[]> {
  const delta = await logged()
  const state: Record<string, string> = {}
  const seen: Seen[] = []
  let durable = copyOf('index')
  let before = fs.readFileSync(logPath(dir))
  let count = 0
  for (const each of steps) {
    if (each.do === 'put') {
      state[each.name] = `${count++} `.repeat(each.bytes).slice(0, each.bytes)
      put(delta, each.name, state[each.name] as string)
    } else if (each.do === 'remove') {
      delete state[each.name]
      remove(delta, each.name)
    } else await delta.flush(each.do === 'sync')
    if (each.do !== 'sync') continue
    const now = fs.readFileSync(logPath(dir))
    if (now.equals(before)) durable = copyOf('index')
    before = now
    const log = copyOf('log')
    for (const index of [durable, copyOf('index')]) seen.push({ index, log, state: { ...state } })
  }
  await delta[Symbol.asyncDispose]()
  return seen
}

async function open(at: string, { logBytes = LOG_BYTES } = {}): Promise<Delta> {
  const delta = await Delta.open({
    dir: at,
    base: '00'.repeat(32),
    baseInodes: ROOT,
    baseEntry: () => {
      throw new Error('the base has the root alone')
    },
    // Nothing is written that a test does not ask for.
    flushAfterMs: 1e9,
    flushAtRecords: Number.POSITIVE_INFINITY,
    settleAfterMs: 1e9,
    room: new Room({ dir: at, reserveBytes: 0 }),
    onFlushFailed: (error) => told.push(`${error}`),
    onCutOff: (cut: CutOff) => told.push(JSON.stringify(cut)),
    syncLogBytes: logBytes,
    onSyncLogFailed: (error) => told.push(`${error}`),
  })
  return delta
}

/** One whose next sync goes to the log. */
async function logged(): Promise<Delta> {
  const delta = await open(dir)
  const others = Object.keys(stateOf(delta))
  const before = fs.existsSync(logPath(dir)) ? saltOf(fs.readFileSync(logPath(dir))) : null
  for (let n = 0; records() === 0 || before?.equals(saltOf(fs.readFileSync(logPath(dir))) as Buffer); n++) {
    put(delta, 'warm', `${n}`)
    await delta.flush(true)
    await setImmediate()
  }
  remove(delta, 'warm')
  await delta.flush(true)
  expect(Object.keys(stateOf(delta))).toEqual(others)
  return delta
}

function put(delta: Delta, name: string, text: string): void {
  const dentry = delta.dentry(ROOT, name)
  const inode = delta.inodes.get(dentry?.node ?? 0) ?? new Inode(delta.allocate(), null)
  inode.mode = S_IFREG | 0o644
  inode.place = IN_INDEX
  inode.inline = Buffer.from(text, 'latin1')
  inode.size = inode.inline.length
  if (dentry === undefined) {
    delta.add(inode)
    delta.setDentry(ROOT, name, inode.node, [])
  }
  delta.inodeChanged(inode)
  delta.contentChanged(inode)
}

function remove(delta: Delta, name: string): void {
  const inode = delta.inodes.get(delta.dentry(ROOT, name)?.node ?? 0)
  if (inode === undefined) return
  delta.deleteDentry(ROOT, name)
  delta.drop(inode)
}

function stateOf(delta: Delta): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { name, node } of delta.directories.get(ROOT)?.all() ?? []) {
    const inode = delta.inodes.get(node)
    const contents = inode?.inline ?? delta.readContent(node)
    found[name] = contents?.subarray(0, inode?.size).toString('latin1') ?? 'no contents'
  }
  return found
}

let copies = 0

/** Of the index or the log as it is on the disk now. */
function copyOf(part: 'index' | 'log'): string {
  const copy = join(scratch, `${part}-${copies++}`)
  fs.cpSync(join(dir, part), copy, { recursive: true })
  return copy
}

/** In a delta of these parts. */
async function foundIn(index: string, log: string | null): Promise<Record<string, string>> {
  const at = join(scratch, `found-${copies++}`)
  fs.mkdirSync(at)
  fs.cpSync(index, join(at, 'index'), { recursive: true })
  if (log !== null) fs.cpSync(log, logPath(at))
  const delta = await open(at)
  const found = stateOf(delta)
  await delta[Symbol.asyncDispose]()
  fs.rmSync(at, { recursive: true })
  return found
}

function change(path: string, how: (bytes: Buffer) => void): void {
  const bytes = fs.readFileSync(path)
  how(bytes)
  fs.writeFileSync(path, bytes)
}

function flip(bytes: Buffer, at: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
}

function recordEnds(): number[] {
  if (!fs.existsSync(logPath(dir))) return []
  const log = fs.readFileSync(logPath(dir))
  const ends: number[] = []
  for (let at = LOG_BLOCK_BYTES; at < log.length; at = ends.at(-1) as number) {
    const record = recordAt(log, at, saltOf(log) as Buffer)
    if (record === null) break
    ends.push(record.end)
  }
  return ends
}

function records(): number {
  return recordEnds().length
}

/** Where the next record goes. */
function end(): number {
  return recordEnds().at(-1) as number
}

function indexBytes(): number {
  const names = fs.readdirSync(join(dir, 'index'))
  return names.reduce((bytes, name) => bytes + fs.statSync(join(dir, 'index', name)).size, 0)
}

/** What the delta writes to as its log is another file until this ends. */
function inPlaceOfLog(path: string): Disposable {
  const fds = fs.readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === logPath(dir))
  expect(fds).toHaveLength(1)
  const other = fs.openSync(path, 'w')
  koffi.load(null).func('dup2', 'int', ['int', 'int'])(other, Number(fds[0]))
  return { [Symbol.dispose]: () => fs.closeSync(other) }
}

function linkOf(fd: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    // That of the listing itself.
    return ''
  }
}
