import { expect, test } from 'vitest'
import {
  parseBytes,
  parseCount,
  parseDuration,
  parseEnvironment,
  parseLabel,
  parsePositive,
  parseRule,
  parseSandboxPath,
} from './arguments.ts'

test('a rule is split at its last =, and added to those before it', () => {
  const first = parseRule('/a=b/**=write')
  expect(parseRule('**/.env*=none', first)).toEqual([
    { pattern: '/a=b/**', level: 'write' },
    { pattern: '**/.env*', level: 'none' },
  ])
})

test.each([[''], ['=write'], ['/a'], ['/a=all'], ['/a=WRITE'], ['/a=']])('%j is no rule', (text) => {
  expect(() => parseRule(text)).toThrow(/is no rule/)
})

test.each([
  ['1', 1],
  ['512m', 512 * 2 ** 20],
  ['512MiB', 512 * 2 ** 20],
  ['1.5g', 1.5 * 2 ** 30],
  ['2T', 2 * 2 ** 40],
  ['64k', 65_536],
])('%s is %i bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes)
})

test.each([['0'], ['-1'], ['m'], ['1x'], ['9999999t'], ['1 g'], ['']])('%j is no size', (text) => {
  expect(() => parseBytes(text)).toThrow(/is no size/)
})

test.each([
  ['30', 30_000],
  ['30s', 30_000],
  ['200ms', 200],
  ['1.5h', 5_400_000],
  ['5m', 300_000],
  ['2d', 172_800_000],
])('%s is %i milliseconds', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([['0'], ['-5s'], ['5 s'], ['5w'], ['']])('%j is no time', (text) => {
  expect(() => parseDuration(text)).toThrow(/is no time/)
})

test('an environment variable keeps every = after the first, and may be empty', () => {
  expect(parseEnvironment('A=b=c', { Z: '' })).toEqual({ Z: '', A: 'b=c' })
  expect(parseEnvironment('A=')).toEqual({ A: '' })
  expect(() => parseEnvironment('=x')).toThrow(/KEY=VALUE/)
})

test('a variable without a value is taken from here, or left out where it is not set', () => {
  expect(parseEnvironment('PATH')).toEqual({ PATH: process.env['PATH'] })
  expect(parseEnvironment('CROFT_NO_SUCH_VARIABLE', { A: '1' })).toEqual({ A: '1' })
})

test('a label needs a key and a =', () => {
  expect(parseLabel('team=a=b')).toEqual({ team: 'a=b' })
  expect(() => parseLabel('team')).toThrow(/KEY=VALUE/)
  expect(() => parseLabel('=a')).toThrow(/KEY=VALUE/)
})

test('a count is a whole number from 1', () => {
  expect(parseCount('1')).toBe(1)
  for (const text of ['0', '1.5', '-1', 'x', '']) expect(() => parseCount(text)).toThrow(/whole number/)
})

test('a number of CPUs may have a fraction', () => {
  expect(parsePositive('0.5')).toBe(0.5)
  for (const text of ['0', '-1', 'x', '', '1e3']) expect(() => parsePositive(text)).toThrow(/positive number/)
})

test.each([
  ['sb_0123456789abcdef', '', 'sb_0123456789abcdef'],
  ['sb_0123456789abcdef:src/a:b', 'src/a:b', 'sb_0123456789abcdef'],
  ['sb_0123456789abcdef:/src/', 'src', 'sb_0123456789abcdef'],
])('%s is the path %j in a sandbox', (text, path, sandboxId) => {
  expect(parseSandboxPath(text)).toEqual({ sandboxId, path })
})

test.each([['./sb_0123456789abcdef:x'], ['sb_0123:x'], ['x'], ['C:\\x'], ['sb_0123456789ABCDEF:x'], ['']])(
  '%j is a local path',
  (text) => {
    expect(parseSandboxPath(text)).toBeUndefined()
  },
)
