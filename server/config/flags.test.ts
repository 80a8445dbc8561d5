import { expect, it } from 'vitest'
import { ConfigError } from './config-error.ts'
import { parseFlags } from './flags.ts'

it('flags become settings in the shape of the file', () => {
  const args = [
    'serve',
    '--data-dir',
    '/d',
    '--listen',
    '--limit',
    'pageSizeMax=7',
    '--limit',
    'maxLabels=0',
    '--idle-exit',
    '9',
    '--fs-device',
    'kernel',
  ]
  expect(parseFlags(args)).toEqual({
    help: false,
    version: false,
    settings: {
      dataDir: '/d',
      listen: '',
      idleExitSeconds: 9,
      limits: { pageSizeMax: 7, maxLabels: 0 },
      fs: { device: 'kernel' },
    },
  })
})

it('--listen takes a value where one follows, and none where another flag does', () => {
  expect(parseFlags(['--listen', ':1', '--socket', '/s']).settings).toEqual({ listen: ':1', socket: '/s' })
  expect(parseFlags(['--listen', '--socket', '/s']).settings).toEqual({ listen: '', socket: '/s' })
})

it('a place begins where the command was typed, unless it begins at the root', () => {
  const { settings } = parseFlags(['--tls-cert', 'cert.pem', '--socket', '/s'])
  expect(settings).toEqual({ tls: { cert: `${process.cwd()}/cert.pem` }, socket: '/s' })
})

it('--json is stdout, --ready-fd another descriptor', () => {
  expect(parseFlags(['--json']).readyFd).toBe(1)
  expect(parseFlags(['--ready-fd', '3']).readyFd).toBe(3)
  expect(parseFlags([]).readyFd).toBeUndefined()
})

it.each([
  ['an unknown flag', ['--fun'], /--fun/],
  ['another command', ['run'], /`run`/],
  ['a limit without a number', ['--limit', 'pageSizeMax'], /pageSizeMax/],
  ['a limit that is no whole number', ['--limit', 'pageSizeMax=1.5'], /pageSizeMax/],
  ['a negative time', ['--idle-exit=-1'], /--idle-exit/],
])('%s is refused by name', (_, args, message) => {
  expect(() => parseFlags(args)).toThrow(message)
  expect(() => parseFlags(args)).toThrow(ConfigError)
})
