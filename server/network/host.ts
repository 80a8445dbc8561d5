import { canonicalAddress } from './address.ts'

/** What a connection is asked for with: a name, to be looked up outside, or an address. */
export type Host =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string }

/**
 * A host as people and programs write it, in its one form: names in lower case and as ASCII (IDNA), addresses as
 * `canonicalAddress` has them. Numbers that a resolver would take for an IPv4 address (`0x7f.1`, `2130706433`,
 * `0177.0.0.1`) are that address here too, so that nothing is a name to us and an address to somebody else.
 */
export function parseHost(text: string): Host | undefined {
  if (text.length > MAX_HOST_LENGTH) return undefined
  const bare = /^\[([^[\]]*)\]$/.exec(text)?.[1] ?? text
  const literal = canonicalAddress(bare)
  if (literal !== undefined) return { kind: 'address', address: literal }
  // Whatever would be another part of a URL, or be dropped from one, makes it no host.
  if (bare === '' || bare !== text || /[\s:/?#@\\%[\]]/.test(text) || hasControls(text)) return undefined
  let name: string
  try {
    name = new URL(`http://${text}/`).hostname
  } catch {
    return undefined
  }
  const address = canonicalAddress(name)
  if (address !== undefined) return { kind: 'address', address }
  // With and without the dot of the root it is the same host.
  name = name.replace(/\.$/, '')
  return isName(name) ? { kind: 'name', name } : undefined
}

/** A port in decimal, from 1. */
function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

/** `host:port`, `[v6]:port`, or without a port. */
export function splitPort(text: string): { host: string; port: number | undefined } | undefined {
  const match = /^(\[[^[\]]*\]|[^:[\]]*)(?::([^:]*))?$/.exec(text)
  if (match === null) return undefined
  const [, host = '', digits] = match
  if (digits === undefined) return { host, port: undefined }
  const port = parsePort(digits)
  return port === undefined ? undefined : { host, port }
}

const MAX_HOST_LENGTH = 255
/** Of a name in DNS, without the dot of the root. */
const MAX_NAME_LENGTH = 253

function isName(name: string): boolean {
  return (
    name.length <= MAX_NAME_LENGTH &&
    name.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  )
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u0020\u007f-\u00a0]/.test(text)
}
