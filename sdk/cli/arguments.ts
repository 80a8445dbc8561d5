import { InvalidArgumentError } from 'commander'
import type { Level, Rule } from '../rules.ts'

/** `PATTERN=LEVEL`, or `PATTERN=LEVEL@PRIORITY`; the last `=` counts, so that a pattern may have some. */
export function parseRule(text: string, earlier: readonly Rule[] = []): Rule[] {
  const at = text.lastIndexOf('=')
  const pattern = text.slice(0, Math.max(at, 0))
  const [level = '', priority] = text.slice(at + 1).split('@')
  if (pattern === '' || !isLevel(level) || !(priority === undefined || /^-?\d{1,10}$/.test(priority))) {
    throw new InvalidArgumentError(
      `${quoted(text)} is no rule; write PATTERN=none, =view, =read or =write, and @ with a priority after it if need be`,
    )
  }
  return [...earlier, { pattern, level, ...(priority === undefined ? {} : { priority: Number(priority) }) }]
}

/** `KEY=VALUE`; the first `=` counts. `KEY` alone takes the value from this environment. */
export function parseEnvironment(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  const key = at < 0 ? text : text.slice(0, at)
  if (key === '') throw new InvalidArgumentError(`${quoted(text)} is no KEY=VALUE`)
  const value = at < 0 ? process.env[key] : text.slice(at + 1)
  return value === undefined ? earlier : { ...earlier, [key]: value }
}

export function parseLabel(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError(`${quoted(text)} is no KEY=VALUE`)
  return { ...earlier, [text.slice(0, at)]: text.slice(at + 1) }
}

export function parseList(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, text]
}

const BYTES: Record<string, number> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

/** `512m`, `2g`, `1048576`: powers of 1024. */
export function parseBytes(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?$/i.exec(text) ?? []
  const bytes = Math.floor(Number(number) * (BYTES[unit.toLowerCase()] ?? Number.NaN))
  if (number === '' || !Number.isSafeInteger(bytes) || bytes < 1) {
    throw new InvalidArgumentError(`${quoted(text)} is no size; write it as 512m or 2g`)
  }
  return bytes
}

const MILLISECONDS: Record<string, number> = { ms: 1, '': 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `30s`, `5m`, `1.5h`, `200ms`; a number alone is seconds. */
export function parseDuration(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|)$/.exec(text) ?? []
  const ms = Math.round(Number(number) * (MILLISECONDS[unit] ?? Number.NaN))
  if (number === '' || !Number.isSafeInteger(ms) || ms < 1) {
    throw new InvalidArgumentError(`${quoted(text)} is no time; write it as 30s, 5m or 200ms`)
  }
  return ms
}

export function parsePositive(text: string): number {
  const value = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || !(value > 0)) {
    throw new InvalidArgumentError(`${quoted(text)} is no positive number`)
  }
  return value
}

export function parsePort(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) {
    throw new InvalidArgumentError(`${quoted(text)} is no port from 1 to 65535`)
  }
  return value
}

export function parseCount(text: string): number {
  const value = Number(text)
  if (!/^\d{1,9}$/.test(text) || value < 1) {
    throw new InvalidArgumentError(`${quoted(text)} is no whole number of at least 1`)
  }
  return value
}

export function parseCursor(text: string): number {
  const value = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError(`${quoted(text)} is no cursor; it is a whole number that an earlier piece had`)
  }
  return value
}

export interface SandboxPath {
  readonly sandboxId: string
  readonly path: string
}

const SANDBOX_PATH = /^(sb_[0-9a-f]{16})(?::(.*))?$/s

/** `SB` or `SB:PATH`; `undefined` for anything else, such as a local path. */
export function parseSandboxPath(text: string): SandboxPath | undefined {
  const [, sandboxId, path = ''] = SANDBOX_PATH.exec(text) ?? []
  return sandboxId === undefined ? undefined : { sandboxId, path: path.replace(/^\/+|\/+$/g, '') }
}

function isLevel(text: string): text is Level {
  return text === 'none' || text === 'view' || text === 'read' || text === 'write'
}

function quoted(text: string): string {
  return JSON.stringify(text)
}
