import { AbortedError, CommandTimeoutError, CroftError, InvalidArgumentError } from '../errors.ts'
import { EXIT_CROFT, EXIT_INTERRUPTED, EXIT_TIMEOUT } from './exit-codes.ts'

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, jsonValue)}\n`)
}

/** One clear line on stderr, or one object on stderr with `--json`; returns the exit code. */
export function reportFailure(error: unknown, json: boolean): number {
  const code = error instanceof CroftError ? error.code : 'internal'
  const message = error instanceof Error ? error.message : String(error)
  if (json) {
    const field = error instanceof InvalidArgumentError && error.field !== undefined ? { field: error.field } : {}
    const remedy = error instanceof CroftError && error.remedy !== '' ? { remedy: error.remedy } : {}
    process.stderr.write(`${JSON.stringify({ error: { code, message, ...field, ...remedy } })}\n`)
  } else {
    process.stderr.write(`croft: ${safeText(message)}\n`)
  }
  if (error instanceof CommandTimeoutError) return EXIT_TIMEOUT
  return error instanceof AbortedError ? EXIT_INTERRUPTED : EXIT_CROFT
}

/** Rows in columns as wide as they need; the last one as long as it is. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows.map((row) => row.map(safeText))]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  for (const row of all) {
    const cells = row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
    process.stdout.write(`${cells.join('  ')}\n`)
  }
}

/** Names come from inside a sandbox, and a terminal obeys what it is told in control characters. */
export function safeText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: to take them out is the purpose
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  return value
}
