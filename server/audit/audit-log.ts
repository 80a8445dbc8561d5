import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import type { Logger } from '../observability/log.ts'
import { nextRotated, rotatedFiles } from './files.ts'
import { type AuditEvent, BEGINNING, type Head, lineAfter, readLine } from './line.ts'

export interface AuditLogOptions {
  readonly file: string
  /** A file that has grown beyond it makes room for another one. */
  readonly maxFileBytes: number
  /** Of those that are full; older ones are removed. */
  readonly maxFiles: number
}

export interface AuditLogDependencies {
  readonly nowMs: () => number
  readonly log: Logger
}

/**
 * Who did what, a line each, in a chain of hashes. A line is with the kernel before its call is answered, so a killed
 * server loses none; what the disk has of it after a crash of the machine is what `sync` has written since.
 */
export class AuditLog implements Disposable {
  readonly #options: AuditLogOptions
  readonly #parts: AuditLogDependencies
  #fd: number
  #bytes: number
  #head: Head
  /** Events that could not be written. */
  #lost = 0

  private constructor(
    options: AuditLogOptions,
    dependencies: AuditLogDependencies,
    at: { fd: number; bytes: number; head: Head },
  ) {
    this.#options = options
    this.#parts = dependencies
    this.#fd = at.fd
    this.#bytes = at.bytes
    this.#head = at.head
  }

  /** Goes on where the file ends. Throws a `ConfigError` where that end is none of ours. */
  static open(options: AuditLogOptions, dependencies: AuditLogDependencies): AuditLog {
    const { file } = options
    let fd: number
    try {
      // Appending, whoever else may have it open; reading, for its end.
      fd = openSync(file, 'a+', 0o600)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new ConfigError(`\`audit.file\`: ${why}`, { cause: error })
    }
    const { size } = fstatSync(fd)
    const { whole, line } = endOf(fd, size, file)
    const head = line === undefined ? headOfRotated(file) : headOf(line, file)
    ftruncateSync(fd, whole)
    const audit = new AuditLog(options, dependencies, { fd, bytes: whole, head })
    // A crash of the machine cut it short: its call may have been answered, and what it was is gone.
    if (whole < size) audit.write({ event: 'a line that was cut short is gone', bytes: size - whole })
    return audit
  }

  get head(): Head {
    return this.#head
  }

  /** Never throws: what cannot be written is counted, and the next line that can be says so. */
  write(event: AuditEvent): void {
    const lost = this.#lost === 0 ? {} : { lost: this.#lost }
    const { line, head } = lineAfter(this.#head, this.#parts.nowMs(), { ...event, ...lost })
    const bytes = Buffer.from(line)
    try {
      const written = writeSync(this.#fd, bytes)
      if (written < bytes.length) {
        ftruncateSync(this.#fd, this.#bytes)
        throw new Error(`only ${written} of ${bytes.length} bytes were written`)
      }
    } catch (err) {
      this.#lost += 1
      if (this.#lost === 1) this.#parts.log.error({ err }, 'the audit log cannot be written')
      return
    }
    this.#lost = 0
    this.#head = head
    this.#bytes += bytes.length
    if (this.#bytes >= this.#options.maxFileBytes) this.#rotate()
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.#fd, (error) => (error === null || error === undefined ? resolve() : reject(error)))
    })
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #rotate(): void {
    const { file, maxFiles } = this.#options
    try {
      renameSync(file, nextRotated(file))
      const fd = openSync(file, 'a+', 0o600)
      closeSync(this.#fd)
      this.#fd = fd
      this.#bytes = 0
      for (const old of rotatedFiles(file).slice(0, -maxFiles)) rmSync(old)
    } catch (err) {
      this.#parts.log.error({ err }, 'the audit log cannot begin another file')
    }
  }
}

/** Longer than any line: ids, names and methods have their limits. */
const MAX_LINE_BYTES = 64 * 1024

/** How much of the file is whole lines, and the last of them. */
function endOf(fd: number, size: number, file: string): { whole: number; line: string | undefined } {
  const length = Math.min(size, 2 * MAX_LINE_BYTES)
  const bytes = Buffer.alloc(length)
  readSync(fd, bytes, 0, length, size - length)
  const end = bytes.lastIndexOf('\n')
  if (end < 0 && length < size) throw cannotGoOn(file, 'it has no end')
  if (end < 0) return { whole: 0, line: undefined }
  const start = bytes.lastIndexOf('\n', end - 1) + 1
  return { whole: size - length + end + 1, line: bytes.toString('utf8', start, end) }
}

function headOfRotated(file: string): Head {
  const last = rotatedFiles(file).at(-1)
  if (last === undefined || !existsSync(last)) return BEGINNING
  const fd = openSync(last, 'r')
  try {
    const { line } = endOf(fd, fstatSync(fd).size, last)
    return line === undefined ? BEGINNING : headOf(line, last)
  } finally {
    closeSync(fd)
  }
}

function headOf(line: string, file: string): Head {
  const read = readLine(line)
  if (typeof read !== 'string') return read.head
  throw cannotGoOn(file, read)
}

function cannotGoOn(file: string, why: string): ConfigError {
  return new ConfigError(
    `\`audit.file\`: the last line of ${file} is none that can be gone on from (${why}): ` +
      'see `croft audit verify`, and move the log away',
  )
}
