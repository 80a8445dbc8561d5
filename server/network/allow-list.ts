import { type Host, parseHost, splitPort } from './host.ts'

/** Where a rule names no port. */
const DEFAULT_PORTS: readonly number[] = [80, 443]

export interface AllowRule {
  /** `below`: every name that ends in `.` and this; not the name itself. */
  readonly match: 'name' | 'below' | 'address'
  readonly host: string
  readonly ports: readonly number[]
}

/** `host`, `host:port`, `*.domain`, `*.domain:port`, `1.2.3.4`, `[v6]:port`. What is wrong with it, if something is. */
export function parseAllowRule(text: string): AllowRule | { readonly fault: string } {
  if (text.includes('/')) return { fault: 'is not `host` or `host:port`: a scheme and a path are no part of it' }
  const split = splitPort(text)
  if (split === undefined) {
    const hint = /^[0-9a-f:]+:[0-9a-f:]*$/i.test(text) ? '; an IPv6 address stands in brackets' : ''
    return { fault: `is not \`host\` or \`host:port\` with a port from 1 to 65535${hint}` }
  }
  const ports = split.port === undefined ? DEFAULT_PORTS : [split.port]
  const below = split.host.startsWith('*.')
  if (split.host === '*') return { fault: 'names every host: ask for the whole network instead, or for `*.domain`' }
  const host = parseHost(below ? split.host.slice(2) : split.host)
  if (host === undefined || split.host.slice(below ? 2 : 0).includes('*')) {
    return { fault: 'names no host: a `*` stands only at the beginning, as in `*.example.com`' }
  }
  if (host.kind === 'name') return { match: below ? 'below' : 'name', host: host.name, ports }
  return below ? { fault: 'has no names below it: it is an address' } : { match: 'address', host: host.address, ports }
}

/** `port`: there are rules for this host, none with this port. */
export function judge(rules: readonly AllowRule[], host: Host, port: number): 'allowed' | 'port' | 'host' {
  const ofHost = rules.filter((rule) => isOf(rule, host))
  if (ofHost.length === 0) return 'host'
  return ofHost.some(({ ports }) => ports.includes(port)) ? 'allowed' : 'port'
}

function isOf(rule: AllowRule, host: Host): boolean {
  switch (rule.match) {
    case 'address':
      return host.kind === 'address' && host.address === rule.host
    case 'name':
      return host.kind === 'name' && host.name === rule.host
    case 'below':
      return host.kind === 'name' && host.name.endsWith(`.${rule.host}`)
  }
}
