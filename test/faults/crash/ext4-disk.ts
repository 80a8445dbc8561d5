import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'

/**
 * A disk of its own with ext4 on it, whose power can be cut: what has been sent to it is in an image file, what has not
 * is in the kernel's memory.
 */
export class Ext4Disk implements Disposable {
  /** Where it is mounted. */
  readonly path: string
  readonly #dir: string
  #device = ''
  #cuts = 0

  private constructor(dir: string) {
    this.#dir = dir
    this.path = join(dir, 'disk')
  }

  /** In an empty directory. */
  static create(dir: string, sizeBytes: number): Ext4Disk {
    const disk = new Ext4Disk(dir)
    fs.mkdirSync(disk.path)
    fs.writeFileSync(disk.#image, '')
    fs.truncateSync(disk.#image, sizeBytes)
    // All is made now: a thread of the kernel's would do it later, in the middle of a test.
    execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk.#image])
    disk.#plugIn()
    return disk
  }

  /** What was not asked to be durable is gone when it returns. Nobody may use the disk meanwhile. */
  cutPower(): void {
    const before = this.#image
    this.#cuts++
    execFileSync('cp', ['--sparse=always', before, this.#image])
    this.#unplug()
    fs.rmSync(before)
    // Mounting recovers the journal, as after a real one.
    this.#plugIn()
  }

  [Symbol.dispose](): void {
    this.#unplug()
    fs.rmSync(this.#image)
  }

  get #image(): string {
    return join(this.#dir, `image${this.#cuts}`)
  }

  #plugIn(): void {
    this.#device = execFileSync('losetup', ['--find', '--show', this.#image], { encoding: 'utf8' }).trim()
    // The journal is written when somebody asks for it, not every five seconds.
    execFileSync('mount', ['-t', 'ext4', '-o', 'commit=300', this.#device, this.path])
  }

  #unplug(): void {
    execFileSync('umount', [this.path])
    execFileSync('losetup', ['--detach', this.#device])
  }
}
