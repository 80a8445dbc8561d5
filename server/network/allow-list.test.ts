import { describe, expect, it } from 'vitest'
import { canonicalAddress, isPublicAddress } from './address.ts'
import { type AllowRule, judge, parseAllowRule } from './allow-list.ts'
import { parseHost } from './host.ts'

function rules(...texts: string[]): AllowRule[] {
  return texts.map((text) => {
    const rule = parseAllowRule(text)
    if ('fault' in rule) throw new Error(`${text} ${rule.fault}`)
    return rule
  })
}

function verdict(allow: string[], host: string, port: number): string {
  const parsed = parseHost(host)
  return parsed === undefined ? 'no host' : judge(rules(...allow), parsed, port)
}

describe('an entry of network.allow', () => {
  it.each<[string[], string, number, string]>([
    [['example.com'], 'example.com', 80, 'allowed'],
    [['example.com'], 'example.com', 443, 'allowed'],
    [['example.com'], 'example.com', 8080, 'port'],
    [['example.com:8080'], 'example.com', 8080, 'allowed'],
    [['example.com:8080'], 'example.com', 443, 'port'],
    [['example.com:22', 'example.com:23'], 'example.com', 23, 'allowed'],
    [['Example.COM'], 'eXample.com.', 443, 'allowed'],
    [['bücher.example'], 'xn--bcher-kva.example', 443, 'allowed'],
    [['example.com'], 'www.example.com', 443, 'host'],
    [['example.com'], 'notexample.com', 443, 'host'],
    [['example.com'], 'example.com.evil.org', 443, 'host'],
    [['*.example.com'], 'a.b.example.com', 443, 'allowed'],
    [['*.example.com'], 'example.com', 443, 'host'],
    [['*.example.com'], 'evilexample.com', 443, 'host'],
    [['*.example.com:443'], 'a.example.com', 80, 'port'],
    [['10.0.0.1'], '10.0.0.1', 80, 'allowed'],
    [['10.0.0.1'], '::ffff:10.0.0.1', 80, 'allowed'],
    [['[fd00::1]:99'], '[fd00:0:0::1]', 99, 'allowed'],
    [['10.0.0.1'], '10.0.0.1.example.com', 80, 'host'],
    [[], 'example.com', 80, 'host'],
  ])('%j lets %s:%i be %s', (allow, host, port, expected) => {
    expect(verdict(allow, host, port)).toBe(expected)
  })

  it.each([
    ['', /names no host/],
    ['*', /names every host/],
    ['*.*.com', /`\*` stands only/],
    ['a*.com', /`\*` stands only/],
    ['*.10.0.0.1', /an address/],
    ['https://example.com', /a scheme and a path/],
    ['example.com/x', /a scheme and a path/],
    ['example.com:0', /port from 1/],
    ['example.com:65536', /port from 1/],
    ['example.com:x', /port from 1/],
    ['example.com:', /port from 1/],
    ['fd00::1', /in brackets/],
    ['user@example.com', /names no host/],
    ['exa mple.com', /names no host/],
    ['-a.com', /names no host/],
    [`${'a'.repeat(64)}.com`, /names no host/],
    ['[::1%lo]', /names no host/],
  ])('%s is refused with what is wrong', (text, fault) => {
    expect(parseAllowRule(text)).toMatchObject({ fault: expect.stringMatching(fault) as string })
  })
})

describe('a host', () => {
  it.each([
    ['127.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['0xa9.254.43518', '169.254.169.254'],
    ['１２７.0.0.1', '127.0.0.1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['[::ffff:7f00:1]', '127.0.0.1'],
    ['[0:0:0:0:0:ffff:a9fe:a9fe]', '169.254.169.254'],
  ])('%s is the address %s', (text, address) => {
    expect(parseHost(text)).toEqual({ kind: 'address', address })
  })

  it.each([
    'a/b',
    'a:1',
    'a@b',
    'a#b',
    'a?b',
    'a\\b',
    'a%2eb',
    'a b',
    'a\tb',
    'a\0b',
    '[a]',
    '[',
    '',
    '.',
    'a..b',
    '1.2.3.4.5.',
  ])('%j is none', (text) => {
    expect(parseHost(text)).toBeUndefined()
  })
})

describe('an address', () => {
  it.each([
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '100.127.255.255', '127.0.0.1', '169.254.169.254', '172.16.0.1'],
    ...['172.31.255.255', '192.0.0.192', '192.168.1.1', '198.18.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...['::', '::1', '::ffff:10.0.0.1', '::7f00:1', 'fd00:ec2::254', 'fe80::1', 'fec0::1', 'ff02::1', '64:ff9b::a00:1'],
    ...['64:ff9b:1::1', '2001::1', '2001:db8::1', '2002:a00:1::1', '100::1'],
  ])('%s is not public', (text) => {
    expect(isPublicAddress(canonicalAddress(text) ?? '')).toBe(false)
  })

  it.each([
    '1.1.1.1',
    '100.63.255.255',
    '172.32.0.1',
    '9.255.255.255',
    '2606:4700::1111',
    '64:ff9b::101:101',
    '::ffff:1.1.1.1',
  ])('%s is', (text) => {
    expect(isPublicAddress(canonicalAddress(text) ?? '')).toBe(true)
  })
})
