import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadConfig } from '../../server/config/load.ts'
import { needs } from '../needs.ts'

const OPERATIONS = join(import.meta.dirname, '../../docs/operations')

let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-operations-'))
})

afterAll(() => rmSync(dir, { recursive: true }))

it('the settings that the documentation shows are some, those in comments too', () => {
  const text = readFileSync(join(OPERATIONS, 'croft.yaml'), 'utf8')
  const file = join(dir, 'croft.yaml')
  const withAll = text.replace(/^( *)# ?( *(?:[a-zA-Z]+:(?: [^ ]+)?|- \{.*\}))$/gm, '$1$2')
  for (const each of [text, withAll]) {
    writeFileSync(file, each)
    const config = loadConfig({ uid: 0, env: {}, file })
    expect(config.quotas['ci']).toEqual({ running: 60, commandsPerMinute: 0 })
  }
  expect(loadConfig({ uid: 0, env: {}, file })).toMatchObject({
    peers: [{ owner: 'alice' }, { owner: 'audit' }],
    tls: { clientCa: '/etc/croft/clients.pem' },
  })
})

it('systemd takes the unit', async (context) => {
  await needs(context, 'systemd-analyze')
  const unit = join(dir, 'croft.service')
  // The program need not be installed where this is tested.
  const text = readFileSync(join(OPERATIONS, 'croft.service'), 'utf8').replaceAll('/usr/bin/croft', '/bin/true')
  writeFileSync(unit, text)
  const { stdout, stderr } = await execa('systemd-analyze', ['verify', '--man=no', unit])
  expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('croft.service'))).toEqual([])
})
