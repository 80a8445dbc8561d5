import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { credentialsFor } from './registry-login.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')

describe('the credentials of a registry', () => {
  let dir: string
  let path: string
  const oldPath = process.env['PATH']
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'croft-credentials-'))
    path = join(dir, 'config.json')
    process.env['PATH'] = `${dir}:${oldPath}`
  })
  afterAll(() => {
    process.env['PATH'] = oldPath
    rmSync(dir, { recursive: true, force: true })
  })
  const helper = (name: string, script: string) => {
    writeFileSync(join(dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`)
    chmodSync(join(dir, `docker-credential-${name}`), 0o755)
  }

  it('are those of exactly that registry, and a password may have colons', async () => {
    const auths = { 'r.example': { auth: base64('me:a:b') }, 'https://index.docker.io/v1/': { auth: base64('hub:x') } }
    writeFileSync(path, JSON.stringify({ auths }))
    const serveraddress = 'r.example'
    expect(await credentialsFor('r.example', path)).toEqual({ serveraddress, username: 'me', password: 'a:b' })
    expect(await credentialsFor('docker.io', path)).toMatchObject({ username: 'hub' })
    expect(await credentialsFor('r.example.evil', path)).toBeUndefined()
    expect(await credentialsFor('example', path)).toBeUndefined()
  })

  it('may be a token', async () => {
    writeFileSync(path, JSON.stringify({ auths: { r: { identitytoken: 'long' } } }))
    expect(await credentialsFor('r', path)).toEqual({ serveraddress: 'r', identitytoken: 'long' })
  })

  it('come from a program where the file names one, and are none where that has none', async () => {
    helper('vault', 'read -r asked; echo "{\\"Username\\":\\"of $asked\\",\\"Secret\\":\\"s\\"}"')
    helper('empty', 'echo credentials not found; exit 1')
    writeFileSync(path, JSON.stringify({ credsStore: 'empty', credHelpers: { r: 'vault' } }))
    expect(await credentialsFor('r', path)).toEqual({ serveraddress: 'r', username: 'of r', password: 's' })
    expect(await credentialsFor('other', path)).toBeUndefined()
    writeFileSync(path, JSON.stringify({ credsStore: 'absent' }))
    await expect(credentialsFor('r', path)).rejects.toThrow('docker-credential-absent is not there')
    writeFileSync(path, JSON.stringify({ credsStore: '../../bin/sh' }))
    await expect(credentialsFor('r', path)).rejects.toThrow('there can be no credential helper')
  })

  it('are none without the file, and an error that quotes nothing of it where it is damaged', async () => {
    expect(await credentialsFor('r', join(dir, 'none.json'))).toBeUndefined()
    writeFileSync(path, '{"auths": secret')
    await expect(credentialsFor('r', path)).rejects.toThrow(`${path} is no JSON`)
    writeFileSync(path, JSON.stringify({ auths: { r: { auth: 5 } } }))
    await expect(credentialsFor('r', path)).rejects.toThrow('auths.r.auth')
  })
})
