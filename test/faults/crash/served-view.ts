import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

export interface ServedViewOptions {
  /** An empty directory for the view. */
  readonly mount: string
  readonly base: string
  readonly quotaBytes?: number | undefined
}

/**
 * A process that serves a view, to be killed. It is made before it is told to serve: making it takes longer than all
 * else, and another may still serve meanwhile.
 */
export class ServedView implements AsyncDisposable {
  readonly #mount: string
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: AsyncIterator<string>
  #log = ''

  constructor({ mount, base, quotaBytes }: ServedViewOptions) {
    const program = fileURLToPath(new URL('../../../dist/test/faults/crash/view-server.js', import.meta.url))
    const args = [program, mount, base, ...(quotaBytes === undefined ? [] : [String(quotaBytes)])]
    this.#mount = mount
    this.#child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
    this.#child.stderr.on('data', (data: Buffer) => {
      this.#log += data.toString()
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** What it warned of, and the error that it ended with. */
  get log(): string {
    return this.#log
  }

  /** Resolves when it has done so: the directory of store and delta to begin with, then `sync`, `unmount` or `close`. */
  async tell(order: string): Promise<void> {
    this.#child.stdin.write(`${order}\n`)
    const said = await this.#lines.next()
    if (said.value !== order) {
      if (this.#child.stderr.readable) await once(this.#child.stderr, 'close')
      throw new Error(`the server did not do ${order}: ${this.#log}`)
    }
  }

  /** And takes its mount away, which a dead server leaves behind. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await gone
    }
    const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8')
    if (mounts.includes(` ${this.#mount} `)) execFileSync('umount', ['-l', this.#mount])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
