import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import koffi from 'koffi'
import { Store } from '../../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../../fs-layer/store/tree-builder.ts'
import { faultsOf, type Witness } from './check.ts'
import { digestOf, find } from './found.ts'
import { type History, pattern } from './operation.ts'
import { type Random, randomFrom } from './plan.ts'
import { ServedView } from './served-view.ts'
import type { Order } from './writer.ts'

export interface RigOptions {
  readonly seed: number
  /** Where store and delta are; it may be another one after a crash. */
  readonly dir: string
  /** An empty directory for the view. */
  readonly mount: string
  /** With a quota of bytes the kernel gathers no writes (ADR 11). */
  readonly quotaBytes?: number
}

/** How a round ends before the server is killed. */
type End = 'kill' | 'sync' | 'unmount' | 'close'

const WRITERS = 3
/** Directories that the base has for each writer; then a new delta begins. */
const ROUNDS_OF_A_DELTA = 50
const MARK_STEP = 100_000
const STIR_EVERY_MS = 7
const PAGE_BYTES = 4096
/** A directory of a round begins with these, in the base: inline, at its edge, in a file, and beyond what is copied at once. */
const PLANTED = [
  { name: 'a', tag: 1, length: 100 },
  { name: 'b', tag: 2, length: 10_000 },
  { name: 'c', tag: 3, length: 16_384 },
  { name: 'd', tag: 4, length: 30_000 },
]
const LARGE = { name: 'e', tag: 5, length: (4 << 20) + 5000 }
const LARGE_EVERY = 7

/** A view under load whose server is killed, again and again, and what is there afterwards is compared with what was done. */
export class CrashRig implements AsyncDisposable {
  readonly #options: RigOptions
  readonly #random: Random
  readonly #writers: readonly ChildProcess[]
  readonly #writerGone: Promise<[]>
  readonly #base: string
  #dir: string
  #server: ServedView | null = null
  #next: ServedView
  #round = 0
  /** What the last round's recovery showed, by directory. */
  #shown = new Map<string, string>()

  private constructor(options: RigOptions, base: string) {
    this.#options = options
    this.#dir = options.dir
    this.#base = base
    this.#random = randomFrom(options.seed)
    const program = fileURLToPath(new URL('../../../dist/test/faults/crash/writer.js', import.meta.url))
    this.#writers = Array.from({ length: WRITERS }, () => fork(program))
    this.#writerGone = Promise.race(this.#writers.map((writer) => once(writer, 'exit'))).then(() => [])
    this.#next = new ServedView({ ...options, base })
  }

  static async create(options: RigOptions): Promise<CrashRig> {
    return new CrashRig(options, await makeBase(options.dir))
  }

  /** One round: load, a crash, a recovery. `afterKill` returns where store and delta are from then on. */
  async round(crash: 'kill' | 'power', afterKill: () => string = () => this.#dir): Promise<void> {
    const number = this.#round % ROUNDS_OF_A_DELTA
    if (this.#server === null) await this.#serve()
    const end = endOf(this.#random)
    const orders = this.#orders(number, end)
    const histories = await this.#load(orders, end, crash)
    await this.#server?.kill()
    this.#dir = afterKill()
    await this.#serve()
    const witnesses = orders.map((order, index): Witness => {
      const noted = Math.max(0, fs.statSync(order.mark).mtimeMs / 1000 - order.markBase)
      return { order, history: histories[index] as History, noted, found: find(order.dir) }
    })
    const faults = faultsOf(witnesses, end === 'kill' ? crash : 'nothing')
    for (const [dir, digest] of this.#shown)
      if (digestOf(find(dir)) !== digest) faults.push(`${dir} is not what the last recovery showed`)
    if (faults.length > 0) throw new Error(this.#report(end, witnesses, faults))
    this.#shown = new Map(witnesses.map(({ order, found }) => [order.dir, digestOf(found)]))
    this.#round++
    if (this.#round % ROUNDS_OF_A_DELTA === 0) await this.#newDelta()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const writer of this.#writers) await end(writer)
    await this.#server?.kill()
    await this.#next.kill()
  }

  get #log(): string {
    return this.#server?.log ?? ''
  }

  #orders(number: number, end: End): Order[] {
    const { mount, seed, quotaBytes } = this.#options
    const killer = end === 'kill' ? Math.floor(this.#random() * WRITERS) : -1
    return this.#writers.map((_, index) => ({
      dir: join(mount, `r${number}w${index}`),
      mark: join(mount, 'marks', `w${index}`),
      markBase: (number + 1) * MARK_STEP,
      seed: seed * 7919 + this.#round * WRITERS + index,
      planted: number % LARGE_EVERY === 0 ? [...PLANTED, LARGE] : PLANTED,
      writesThrough: quotaBytes !== undefined,
      maxOperations: end === 'kill' && index !== killer ? MARK_STEP / 2 : 1 + Math.floor(this.#random() ** 2 * 80),
      kills: index === killer ? (this.#server?.pid ?? null) : null,
    }))
  }

  /** Resolves with what the writers did until the server was killed, or obeyed. */
  async #load(orders: readonly Order[], end: End, crash: 'kill' | 'power'): Promise<History[]> {
    const answers = Promise.all(
      this.#writers.map(async (writer, index) => {
        const answer = once(writer, 'message')
        writer.send(orders[index] as Order)
        const [history] = await Promise.race([answer, this.#writerGone])
        if (history === undefined) throw new Error(`a writer failed: ${this.#log}`)
        return history as History
      }),
    )
    const stirred: Promise<void>[] = []
    const stirring = crash === 'power' ? setInterval(() => stirred.push(this.#stir()), STIR_EVERY_MS) : undefined
    const histories = await answers
    clearInterval(stirring)
    await Promise.all(stirred)
    if (end === 'kill') {
      const killedUs = Math.max(...histories.map((each) => each.killedUs))
      if (histories.some(({ endedUs }) => endedUs < killedUs)) throw new Error(`a writer failed: ${this.#log}`)
    } else await this.#server?.tell(end)
    return histories
  }

  /** Writes one file back, or a part of it, as the kernel may do at any time and in any order. */
  async #stir(): Promise<void> {
    const files = fs.readdirSync(join(this.#dir, 'delta'), { recursive: true, withFileTypes: true })
    const chosen = files.filter((each) => each.isFile())[Math.floor(this.#random() * files.length)]
    if (chosen === undefined) return
    try {
      const file = await open(join(chosen.parentPath, chosen.name), 'r')
      if (this.#random() < 0.5) await file.datasync()
      else writeBack(file.fd, Math.floor(this.#random() * 16) * PAGE_BYTES, PAGE_BYTES * 4)
      await file.close()
    } catch (error) {
      // The server may have removed it meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  async #serve(): Promise<void> {
    this.#server = this.#next
    this.#next = new ServedView({ ...this.#options, base: this.#base })
    await this.#server.tell(this.#dir)
  }

  async #newDelta(): Promise<void> {
    await this.#server?.tell('close')
    await this.#server?.kill()
    this.#server = null
    fs.rmSync(join(this.#dir, 'delta'), { recursive: true })
    this.#shown = new Map()
  }

  #report(end: End, witnesses: readonly Witness[], faults: readonly string[]): string {
    const { seed } = this.#options
    const lines = [`seed ${seed}, round ${this.#round} (${end}):`, ...faults.slice(0, 20)]
    for (const { history, noted } of witnesses) {
      lines.push(`a writer: ${history.answered} operations answered, ${noted} noted there; the last ones begun:`)
      const from = Math.max(0, noted - 25)
      history.done
        .slice(from)
        .forEach(({ operation }, at) => lines.push(`  ${from + at + 1} ${JSON.stringify(operation)}`))
    }
    return [...lines, this.#log].join('\n')
  }
}

/** Sends pages of a file to the disk, and waits for that (sync_file_range(2)); how long the file is does not follow. */
function writeBack(fd: number, offset: number, length: number): void {
  const call = koffi.load(null).func('sync_file_range', 'int', ['int', 'int64', 'int64', 'uint'])
  call(fd, offset, length, 1 | 2 | 4)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

function endOf(random: Random): End {
  const at = random()
  if (at < 0.06) return 'sync'
  if (at < 0.09) return 'unmount'
  return at < 0.12 ? 'close' : 'kill'
}

async function makeBase(dir: string): Promise<string> {
  await using store = await Store.open({ dir: join(dir, 'store') })
  const builder = new TreeBuilder({}, { store })
  const plain = { mode: 0o755, mtime: 0, mtimeNsec: 0 }
  const put = new Map<string, { hash: string; size: number }>()
  for (const { name, tag, length } of [...PLANTED, LARGE])
    put.set(name, await store.putBlob({}, [pattern(tag, 0, length)]))
  builder.add({ kind: 'directory', path: 'marks', ...plain })
  for (let index = 0; index < WRITERS; index++) builder.add({ kind: 'directory', path: `marks/w${index}`, ...plain })
  for (let number = 0; number < ROUNDS_OF_A_DELTA; number++) {
    for (let index = 0; index < WRITERS; index++) {
      const path = `r${number}w${index}`
      builder.add({ kind: 'directory', path, ...plain })
      for (const { name } of number % LARGE_EVERY === 0 ? [...PLANTED, LARGE] : PLANTED) {
        const blob = put.get(name) as { hash: string; size: number }
        builder.add({ kind: 'file', path: `${path}/${name}`, ...plain, mode: 0o644, ...blob })
      }
    }
  }
  return (await builder.finish()).hash
}
