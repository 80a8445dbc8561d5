import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configCommand } from './config-command.ts'
import { ConfigError } from './config-error.ts'
import { parseFlags } from './flags.ts'
import { limitsSchema } from './limits.ts'
import { loadConfig } from './load.ts'
import { nearest } from './nearest.ts'
import { configSchema } from './schema.ts'
import { namesAt, SETTINGS } from './settings.ts'

let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-settings-'))
})

afterAll(() => rmSync(dir, { recursive: true }))

const somebody = { uid: 7, env: {} }

describe('every setting of the schema', () => {
  it('is one, with a variable and a flag of its own', () => {
    const tops = new Set(SETTINGS.map(({ path }) => path[0]))
    expect([...tops]).toEqual(Object.keys(configSchema.shape))
    const limits = SETTINGS.filter(({ path }) => path[0] === 'limits').map(({ path }) => path[1])
    expect(limits).toEqual(Object.keys(limitsSchema.shape))
    for (const key of ['variable', 'flag'] as const) {
      expect(new Set(SETTINGS.map((each) => each[key])).size).toBe(SETTINGS.length)
    }
  })

  it.each(SETTINGS.map((setting) => [setting.path.join('.'), setting] as const))(
    '%s can be set by its variable and by its flag',
    (_, { path, kind, variable, flag }) => {
      const text = { number: '7', switch: 'true', structure: '{ a: 1 }', path: '/x', text: 'x' }[kind]
      const value = { number: 7, switch: true, structure: { a: 1 }, path: '/x', text: 'x' }[kind]
      const args = kind === 'switch' ? [`--${flag}`] : [`--${flag}=${text}`]
      const at = (settings: unknown) =>
        path.reduce((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], settings)
      expect(at(parseFlags(args).settings)).toEqual(value)
      let refused: unknown
      try {
        loadConfig({ uid: 7, env: { [variable]: 'no number, no list, no path' } })
      } catch (error) {
        refused = error
      }
      // What takes any text takes this one.
      if (refused !== undefined) expect(String(refused)).toMatch(new RegExp(`${variable}|${path.join('\\.')}`))
    },
  )

  it('is in what is printed, and that can be read again', () => {
    const file = join(dir, 'printed.yaml')
    const args = ['--listen', '[::1]:1', '--peers', '[{ uid: 7, owner: a }]', '--quotas', '{ a: { bytes: 1 } }']
    writeFileSync(file, configCommand(['print', ...args, '--limit', 'maxLabels=3'], somebody))
    const again = loadConfig({ ...somebody, file })
    expect(again).toMatchObject({ listen: { host: '::1', port: 1 }, limits: { maxLabels: 3 } })
    expect(again).toEqual(loadConfig({ ...somebody, flags: parseFlags([...args, '--limit', 'maxLabels=3']).settings }))
  })
})

describe('what is not known', () => {
  const file = () => join(dir, 'croft.yaml')
  const inFile = (text: string) => () => {
    writeFileSync(file(), text)
    return loadConfig({ ...somebody, file: file() })
  }

  it.each([
    ['at the top', 'logLevl: info', /unknown setting `logLevl` \(did you mean `logLevel`\?\)/],
    ['within', 'limits: { pagesizemax: 1 }', /`limits\.pagesizemax` \(did you mean `limits\.pageSizeMax`\?\)/],
    ['in a list', 'peers: [{ uuid: 1, owner: a }]', /`peers\.0\.uuid` \(did you mean `peers\.0\.uid`\?\)/],
    ['of an owner', 'quotas: { a: { byte: 1 } }', /`quotas\.a\.byte` \(did you mean `quotas\.a\.bytes`\?\)/],
    ['like nothing', 'zzzzzzzz: 1', /unknown setting `zzzzzzzz`$/],
  ])('%s is refused by its name, with the nearest', (_, text, message) => {
    expect(inFile(text)).toThrow(message)
    expect(inFile(text)).toThrow(ConfigError)
  })

  it('as a flag or a variable, too', () => {
    expect(() => parseFlags(['--loglevel', 'info'])).toThrow('unknown option --loglevel (did you mean --log-level?)')
    expect(() => loadConfig({ uid: 7, env: { CROFT_FS_DEVISE: 'x' } })).toThrow(/did you mean CROFT_FS_DEVICE\?/)
  })

  it('the nearest word is one of few changed letters, or none', () => {
    expect(nearest('sokcet', ['socket', 'dataDir'])).toBe('socket')
    expect(nearest('port', ['socket', 'dataDir'])).toBeUndefined()
  })

  it('has no names within it', () => {
    expect(namesAt(['fs'])).toEqual(['device'])
    expect(namesAt(['socket', 'x'])).toEqual([])
  })
})

describe('`croft config`', () => {
  it('check says what is wrong, files of TLS that are not there among it', () => {
    expect(configCommand(['check'], somebody)).toContain('can be used')
    expect(() => configCommand(['check', '--log-level', 'loud'], somebody)).toThrow(/`logLevel`/)
    const tls = ['--listen', '--tls-cert', '/none/cert', '--tls-key', '/none/key']
    expect(() => configCommand(['check', ...tls], somebody)).toThrow(/`tls\.cert`.*ENOENT/)
  })

  it('has no other words', () => {
    expect(() => configCommand(['show'], somebody)).toThrow(/check and print/)
    expect(configCommand([], somebody)).toContain('Usage')
  })
})
