import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from './config-error.ts'
import { loadConfig } from './load.ts'
import { mountsOf } from './locations.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-config-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true })
})

function fileWith(text: string): string {
  const file = join(dir, 'croft.yaml')
  writeFileSync(file, text)
  return file
}

describe('where settings come from', () => {
  it('without any, root has its data in /var/lib and its socket in /run', () => {
    const config = loadConfig({ uid: 0, env: {} })
    expect(config).toMatchObject({ dataDir: '/var/lib/croft', socket: '/run/croft-0/croft.sock', logLevel: 'info' })
    expect(config.listen).toBeUndefined()
  })

  it('another user has them in the directories of XDG', () => {
    const env = { XDG_DATA_HOME: '/home/u/.data', XDG_RUNTIME_DIR: '/run/user/7' }
    expect(loadConfig({ uid: 7, env })).toMatchObject({
      dataDir: '/home/u/.data/croft',
      socket: '/run/user/7/croft/croft.sock',
    })
  })

  it('a flag outweighs the environment, that the file, that the default', () => {
    const file = fileWith(
      'dataDir: /file\nsocket: /file.sock\nlogLevel: debug\nlimits:\n  pageSizeMax: 5\n  pageSizeDefault: 3\n',
    )
    const env = { CROFT_DATA_DIR: '/env', CROFT_SOCKET: '/env.sock', CROFT_LIMITS_PAGE_SIZE_MAX: '6' }
    const config = loadConfig({ uid: 0, env, file, flags: { dataDir: '/flag' } })
    expect(config).toMatchObject({ dataDir: '/flag', socket: '/env.sock', logLevel: 'debug' })
    expect(config.limits).toMatchObject({ pageSizeMax: 6, pageSizeDefault: 3, maxLabels: 64 })
  })

  it('the device can be chosen in each of them', () => {
    expect(loadConfig({ uid: 0, env: {} }).fs.device).toBe('auto')
    const file = fileWith('fs: { device: kernel }')
    expect(loadConfig({ uid: 0, env: {}, file }).fs.device).toBe('kernel')
    const env = { CROFT_FS_DEVICE: 'fuse-native' }
    expect(loadConfig({ uid: 0, env, file }).fs.device).toBe('fuse-native')
    expect(loadConfig({ uid: 0, env, file, flags: { fs: { device: 'auto' } } }).fs.device).toBe('auto')
  })

  it('the socket of an engine can be named in each of them, and has a usual place', () => {
    expect(loadConfig({ uid: 0, env: {} })).toMatchObject({
      docker: { socket: '/var/run/docker.sock' },
      podman: { socket: '/run/podman/podman.sock' },
    })
    const file = fileWith('docker: { socket: /file.sock }')
    expect(loadConfig({ uid: 0, env: {}, file }).docker.socket).toBe('/file.sock')
    const env = { CROFT_DOCKER_SOCKET: '/env.sock' }
    expect(loadConfig({ uid: 0, env, file }).docker.socket).toBe('/env.sock')
    expect(() => loadConfig({ uid: 0, env: { CROFT_PODMAN_SOCKETS: '/x' } })).toThrow(/CROFT_PODMAN_SOCKETS/)
  })

  it('no directory has images, unless one is named in each of them', () => {
    expect(loadConfig({ uid: 0, env: {} }).images.roots).toEqual([])
    const file = fileWith('images: { roots: [/srv/images] }')
    expect(loadConfig({ uid: 0, env: {}, file }).images.roots).toEqual(['/srv/images'])
    const env = { CROFT_IMAGES_ROOTS: '[/a, /b]' }
    expect(loadConfig({ uid: 0, env, file }).images.roots).toEqual(['/a', '/b'])
    expect(() => loadConfig({ uid: 0, env: { CROFT_IMAGES_ROOTS: '[a]' } })).toThrow(/`images.roots.0`/)
  })

  it('an empty file changes nothing', () => {
    expect(loadConfig({ uid: 0, env: {}, file: fileWith('') })).toEqual(loadConfig({ uid: 0, env: {} }))
  })

  it('two data directories never share their mounts, one keeps its own', () => {
    expect(mountsOf('/a', '/mnt')).not.toBe(mountsOf('/b', '/mnt'))
    expect(mountsOf('/a', '/mnt')).toBe(mountsOf('/a', '/mnt'))
  })
})

describe('settings that cannot be', () => {
  const refused: [name: string, text: string, message: RegExp][] = [
    ['an unknown key', 'dataDirr: /x', /unknown setting `dataDirr`/],
    ['an unknown limit', 'limits: { maxFun: 1 }', /unknown setting `limits.maxFun`/],
    ['a relative data directory', 'dataDir: here', /`dataDir`: must be an absolute path/],
    ['a socket path that no socket can have', `socket: /${'x'.repeat(107)}`, /`socket`: must be at most 107 bytes/],
    ['a port over 65535', 'listen: "1.2.3.4:65536"', /`listen`: `1.2.3.4:65536`/],
    ['a limit of nothing', 'limits: { maxSandboxes: 0 }', /`limits.maxSandboxes`/],
    [
      'memory that no sandbox can live in',
      'limits: { memoryBytesPerSandbox: 16777215 }',
      /`limits.memoryBytesPerSandbox`/,
    ],
    ['a quota that no kernel takes', 'limits: { maxCpuQuotaUsPerSandbox: 999 }', /`limits.maxCpuQuotaUsPerSandbox`/],
    ['a bandwidth of silence', 'limits: { maxReadBytesPerSecond: 65535 }', /`limits.maxReadBytesPerSecond`/],
    ['a log of syncs that holds none', 'limits: { syncLogBytesPerSandbox: 65535 }', /`limits.syncLogBytesPerSandbox`/],
    ['one of more than is of use', 'limits: { syncLogBytesPerSandbox: 67108865 }', /`limits.syncLogBytesPerSandbox`/],
    ['host users that end before they begin', 'hostUids: { first: 2000, last: 1999 }', /`hostUids.last`/],
    ['host users that are system users', 'hostUids: { first: 10, last: 1999 }', /`hostUids.first`/],
    ['a network that there is not', 'network: some', /`network`/],
    ['a device that there is not', 'fs: { device: floppy }', /`fs.device`/],
    ['a list', '- a', /is not a mapping/],
    ['no YAML', 'a: [', /cannot read the settings/],
  ]
  it.each(refused)('%s is refused by name', (_, text, message) => {
    expect(() => loadConfig({ uid: 0, env: {}, file: fileWith(text) })).toThrow(message)
    expect(() => loadConfig({ uid: 0, env: {}, file: fileWith(text) })).toThrow(ConfigError)
  })

  it('a socket path of 107 bytes is taken', () => {
    const socket = `/${'x'.repeat(106)}`
    expect(loadConfig({ uid: 0, env: {}, flags: { socket } }).socket).toBe(socket)
  })

  it('the least that a sandbox can live with is taken, and 0, which is no limit', () => {
    const limits = {
      memoryBytesPerSandbox: 16_777_216,
      maxCpuQuotaUsPerSandbox: 1_000,
      maxReadBytesPerSecond: 65_536,
      syncLogBytesPerSandbox: 65_536,
    }
    expect(loadConfig({ uid: 0, env: {}, flags: { limits } }).limits).toMatchObject(limits)
    const none = {
      memoryBytesPerSandbox: 0,
      processesPerSandbox: 0,
      maxTmpBytesPerSandbox: 0,
      syncLogBytesPerSandbox: 0,
    }
    expect(loadConfig({ uid: 0, env: {}, flags: { limits: none } }).limits).toMatchObject(none)
  })

  it('a misspelt limit in the environment is refused, a variable of the client is not ours', () => {
    expect(() => loadConfig({ uid: 0, env: { CROFT_LIMITS_MAX_FUN: '1' } })).toThrow(/CROFT_LIMITS_MAX_FUN/)
    expect(() => loadConfig({ uid: 0, env: { CROFT_SERVER: 'x:1', CROFT_TOKEN: 't' } })).not.toThrow()
  })

  it('a file that is not there is named', () => {
    expect(() => loadConfig({ uid: 0, env: {}, file: join(dir, 'none.yaml') })).toThrow(/none\.yaml.*ENOENT/)
  })
})

describe('addresses to listen on', () => {
  const read: [text: string, host: string, port: number][] = [
    ['', '127.0.0.1', 9000],
    [':8000', '127.0.0.1', 8000],
    ['0.0.0.0', '0.0.0.0', 9000],
    ['example.org:0', 'example.org', 0],
    ['[::1]:65535', '::1', 65_535],
  ]
  it.each(read)('%j is %s and %i', (listen, host, port) => {
    expect(loadConfig({ uid: 0, env: {}, flags: { listen } }).listen).toEqual({ host, port })
  })
})
