import { expect, test } from 'vitest'
import { resolveAddress } from './address.ts'

const env = { XDG_RUNTIME_DIR: '/run/user/1' }

test.each([
  ['unix:///tmp/s.sock', 'unix:///tmp/s.sock'],
  ['unix:/tmp/s.sock', 'unix:///tmp/s.sock'],
  ['example.org:1234', 'example.org:1234'],
  ['example.org', 'example.org:9000'],
  ['http://127.0.0.1:1', '127.0.0.1:1'],
  ['https://example.org', 'https://example.org:9000'],
  ['[::1]:65535', '[::1]:65535'],
])('the url %s is the address %s', (url, address) => {
  expect(resolveAddress({ url }, env)).toEqual({ address, token: undefined, tls: {}, isDefault: false })
})

test.each([[''], ['unix://relative'], ['host:0'], ['host:65536'], ['ftp://host'], ['host:1/path'], ['a b']])(
  'the url %j is refused, naming the option',
  (url) => {
    expect(() => resolveAddress({ url }, env)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', field: 'server.url' }),
    )
  },
)

test('an option is above CROFT_SERVER, that is above the socket of this user', () => {
  const withEnv = { ...env, CROFT_SERVER: 'host:1' }
  expect(resolveAddress({ socket: '/s' }, withEnv).address).toBe('unix:///s')
  expect(resolveAddress({}, withEnv)).toMatchObject({ address: 'host:1', isDefault: false })
  expect(resolveAddress({}, env)).toMatchObject({ address: 'unix:///run/user/1/croft/croft.sock', isDefault: true })
})

test('a malformed CROFT_SERVER is refused by its name', () => {
  expect(() => resolveAddress({}, { CROFT_SERVER: 'a b' })).toThrow(/CROFT_SERVER/)
})

test('the token comes from the option, else from CROFT_TOKEN', () => {
  const withToken = { ...env, CROFT_TOKEN: 'from-env' }
  expect(resolveAddress({ url: 'host:1' }, withToken).token).toBe('from-env')
  expect(resolveAddress({ url: 'host:1', token: 'given' }, withToken).token).toBe('given')
})

test("the token in the environment is not for this user's own server", () => {
  const withToken = { ...env, CROFT_TOKEN: 'from-env' }
  expect(resolveAddress({}, withToken).token).toBeUndefined()
  expect(resolveAddress({ token: 'given' }, withToken).token).toBe('given')
  expect(resolveAddress({}, { ...withToken, CROFT_SERVER: 'host:1' }).token).toBe('from-env')
})

test('certificates come from the options, else from the environment, a key and its certificate together', () => {
  const files = { CROFT_CA: '/ca', CROFT_CLIENT_CERT: '/cert', CROFT_CLIENT_KEY: '/key' }
  expect(resolveAddress({}, { ...env, ...files }).tls).toEqual({ ca: '/ca', cert: '/cert', key: '/key' })
  expect(resolveAddress({ tls: { ca: '/mine' } }, { ...env, CROFT_CA: '/ca' }).tls).toEqual({ ca: '/mine' })
  expect(() => resolveAddress({ tls: { cert: '/cert' } }, env)).toThrow(/needs its key/)
})

test('a socket path of 107 bytes is taken, one of 108 is refused: it would not fit the kernel', () => {
  const path = (bytes: number) => `/${'s'.repeat(bytes - 1)}`
  expect(resolveAddress({ socket: path(107) }, env).address).toBe(`unix://${path(107)}`)
  expect(() => resolveAddress({ socket: path(108) }, env)).toThrow(/108 bytes/)
})

test('an XDG directory that is not absolute is ignored, as its specification says', () => {
  expect(resolveAddress({}, { XDG_RUNTIME_DIR: 'relative' }).address).toMatch(/^unix:\/\/\/.*croft-\d+\/croft\.sock$/)
})
