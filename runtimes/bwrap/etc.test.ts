import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { etcFiles } from './etc.ts'

let etc: string

beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), 'croft-etc-'))
})

afterEach(() => rmSync(etc, { recursive: true }))

it('the settings of Java show as far as every user of the host may read them, and nothing that is linked to', async () => {
  mkdirSync(join(etc, 'java-17-openjdk/security'), { recursive: true })
  writeFileSync(join(etc, 'java-17-openjdk/security/java.security'), 'settings')
  writeFileSync(join(etc, 'java-17-openjdk/password'), 'secret')
  chmodSync(join(etc, 'java-17-openjdk/password'), 0o600)
  writeFileSync(join(etc, 'shadow'), 'secret')
  symlinkSync('../shadow', join(etc, 'java-17-openjdk/link'))
  mkdirSync(join(etc, 'java-17-openjdk-of-mine'))
  writeFileSync(join(etc, 'java-17-openjdk-of-mine/x'), 'secret')
  const files = await etcFiles(etc)
  expect([...files.keys()].filter((name) => name.startsWith('java'))).toEqual([
    'java-17-openjdk/security/java.security',
  ])
  expect(files.get('java-17-openjdk/security/java.security')?.toString()).toBe('settings')
})

it('what is made and not copied is the same on every host', async () => {
  const files = await etcFiles(etc)
  expect([...files.keys()].sort()).toEqual([
    'group',
    'hosts',
    'machine-id',
    'nsswitch.conf',
    'passwd',
    'profile',
    'resolv.conf',
    'shells',
  ])
  expect(files.get('passwd')?.toString()).toMatch(/^croft:x:1000:1000:/m)
})
