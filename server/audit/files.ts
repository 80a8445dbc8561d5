import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** `audit.log.000001` is older than `audit.log.000002`, that is older than `audit.log`. */
const NUMBER_DIGITS = 6

/** The earlier files of a log, the oldest first. */
export function rotatedFiles(file: string): string[] {
  const form = new RegExp(`^${escaped(basename(file))}\\.\\d{${NUMBER_DIGITS}}$`)
  return readdirSync(dirname(file))
    .filter((name) => form.test(name))
    .sort()
    .map((name) => join(dirname(file), name))
}

/** Where the file goes that is full. */
export function nextRotated(file: string): string {
  const last = rotatedFiles(file).at(-1)
  const number = last === undefined ? 1 : Number(last.slice(-NUMBER_DIGITS)) + 1
  return `${file}.${String(number).padStart(NUMBER_DIGITS, '0')}`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
