import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** IPv4 as `1.2.3.4`, IPv6 as URLs have it, without brackets; an IPv4 address within IPv6 (RFC 4291, 2.5.5.2) as IPv4. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text
  // A zone names an interface of the host.
  if (!isIPv6(text) || text.includes('%')) return undefined
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const groups = groupsOf(canonical)
  return isWithin(groups, MAPPED) ? ipv4At(groups, 6) : canonical
}

/**
 * Of the whole internet, by IANA's registries of special-purpose addresses: not private, shared (CGNAT), link-local,
 * loop-back, multicast, reserved or meant for documents. Takes what `canonicalAddress` gives.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !NOT_PUBLIC_4.check(address, 'ipv4')
  const groups = groupsOf(address)
  // NAT64 (RFC 6052): a gateway of the host's network makes an IPv4 connection of it.
  if (isWithin(groups, NAT64)) return isPublicAddress(ipv4At(groups, 6))
  return UNICAST_6.check(address, 'ipv6') && !NOT_PUBLIC_6.check(address, 'ipv6')
}

const MAPPED = [0, 0, 0, 0, 0, 0xffff]
const NAT64 = [0x64, 0xff9b, 0, 0, 0, 0]

const NOT_PUBLIC_4 = blockList('ipv4', [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
])
const UNICAST_6 = blockList('ipv6', ['2000::/3'])
// Protocol assignments with Teredo, documents, 6to4, documents again.
const NOT_PUBLIC_6 = blockList('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])

function blockList(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net = '', bits] = subnet.split('/')
    list.addSubnet(net, Number(bits), family)
  }
  return list
}

function groupsOf(canonical: string): number[] {
  const [before = '', after] = canonical.split('::')
  const numbers = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const [first, last] = [numbers(before), numbers(after ?? '')]
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last]
}

function isWithin(groups: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((group, at) => groups[at] === group)
}

function ipv4At(groups: readonly number[], at: number): string {
  const [high = 0, low = 0] = groups.slice(at)
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
