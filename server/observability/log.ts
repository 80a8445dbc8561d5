import { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'
import type { Config } from '../config/schema.ts'

export type { Logger } from 'pino'

/**
 * Lines on stderr: stdout is for the line that says the server is ready. Control characters are escaped, so that
 * nothing from inside a sandbox can move the cursor of whoever reads it.
 */
export function createLog(options: Pick<Config, 'logLevel' | 'logFormat'>, stderr: Writable = process.stderr): Logger {
  const settings = {
    level: options.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return pino(settings, options.logFormat === 'text' ? asText(stderr) : asJson(stderr))
}

function asJson(stderr: Writable): Pick<Writable, 'write'> {
  return { write: (line: string) => stderr.write(escaped(line)) }
}

/** `time level message key=value …`, for people. */
function asText(stderr: Writable): Writable {
  return new Writable({
    decodeStrings: false,
    write(line: string | Buffer, _encoding, done) {
      const { time, level, msg, ...fields } = JSON.parse(line.toString()) as Record<string, unknown>
      const pairs = Object.entries(fields).map(([key, value]) => `${key}=${quoted(value)}`)
      const words = [time, String(level).toUpperCase().padEnd(5), plain(msg), ...pairs]
      stderr.write(`${escaped(words.join(' '))}\n`, done)
    },
  })
}

function plain(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(String(value)).slice(1, -1)
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value)
  return /^"[\w./:@+-]+"$/.test(text) ? text.slice(1, -1) : text
}

/** JSON escapes those below U+0020. U+009B is as good a beginning of a command to a terminal as ESC and a bracket. */
function escaped(line: string): string {
  return line.replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
