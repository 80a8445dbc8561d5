import { describe, expect, it } from 'vitest'
import type { LaunchSpec } from '../contract/runtime.ts'
import { readImage } from './image.ts'
import { planOci } from './plan.ts'

const SPEC: LaunchSpec = {
  sandboxId: 'sb_1',
  instance: 'i1',
  viewPath: '/srv/view',
  workspace: '/workspace',
  hostUid: 100_001,
  hostGid: 100_002,
  scratchDir: '/srv/scratch',
  hostname: 'box',
  image: 'some/image:1',
  limits: {},
  network: { mode: 'off' },
}
const SOURCES = { agent: '/agent', socket: '/s/agent.sock', hosts: '/s/hosts', resolvConf: '/s/resolv.conf' }
const IMAGE = { id: 'sha256:1', env: {}, volumes: [], hasHealthcheck: false }

describe('a plan for a container', () => {
  it('drops every right, and starts the image that was looked at', () => {
    const { Image, User, HostConfig } = planOci(SPEC, IMAGE, SOURCES)
    expect([Image, User]).toEqual(['sha256:1', '100001:100002'])
    expect(HostConfig).toMatchObject({
      ...{ CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges:true'], ReadonlyRootfs: true, Privileged: false },
      ...{ NetworkMode: 'none', IpcMode: 'private', UsernsMode: 'host', CgroupnsMode: 'private', Init: false },
    })
    for (const more of ['CapAdd', 'Binds', 'Devices', 'PidMode', 'GroupAdd', 'VolumesFrom']) {
      expect(HostConfig).not.toHaveProperty(more)
    }
  })

  it('binds the view, and besides it only what cannot be written to', () => {
    const mounts = planOci(SPEC, IMAGE, SOURCES).HostConfig?.Mounts ?? []
    expect(mounts.filter(({ ReadOnly }) => ReadOnly !== true).map(({ Source }) => Source)).toEqual(['/srv/view'])
    expect(mounts.map(({ Source }) => Source).toSorted()).toEqual([...Object.values(SOURCES), '/srv/view'].toSorted())
  })

  it('leaves no swap, and one process for the agent', () => {
    const limits = { memoryBytes: 1 << 28, pids: 10, openFiles: 100 }
    const { HostConfig, Cmd } = planOci({ ...SPEC, limits }, IMAGE, SOURCES)
    expect(HostConfig).toMatchObject({ Memory: 1 << 28, MemorySwap: 1 << 28, PidsLimit: 11 })
    expect(Cmd).toEqual(['connect', '/.croft/socket', '100', '-'])
  })

  it('names what else the engine is to run it with, which has an end of threads of its own', () => {
    const { HostConfig } = planOci(SPEC, IMAGE, SOURCES, 'runsc')
    expect(HostConfig).toMatchObject({ Runtime: 'runsc', PidsLimit: 8192 })
    expect(planOci(SPEC, IMAGE, SOURCES).HostConfig).not.toHaveProperty('Runtime')
  })

  it('keeps all places to write to well below the memory, those of the image among them', () => {
    const volumes = ['/data', '/more', '/tmp', '/dev/shm']
    const { HostConfig } = planOci({ ...SPEC, limits: { memoryBytes: 1 << 26 } }, { ...IMAGE, volumes }, SOURCES)
    const tmpfs = HostConfig?.Tmpfs ?? {}
    expect(Object.keys(tmpfs).toSorted()).toEqual([
      '/.croft',
      '/data',
      '/home/croft',
      '/more',
      '/run',
      '/tmp',
      '/var/tmp',
    ])
    const sizes = Object.values(tmpfs).map((options) => Number(/size=(\d+)/.exec(String(options))?.[1]))
    const sum = sizes.reduce((total, size) => total + size, HostConfig?.ShmSize ?? 0)
    expect(sum).toBeLessThanOrEqual(0.9 * (1 << 26))
  })
})

describe('what is heeded of an image', () => {
  const inspected = (Config: object) => readImage({ Id: 'sha256:1', Config }, '/workspace')

  it('are its variables, as far as they are some', () => {
    const lines = ['A=1', 'B=x=y', 'EMPTY=', 'none', '=nameless', 'N=\0']
    expect(inspected({ Env: lines })).toMatchObject({ env: { A: '1', B: 'x=y', EMPTY: '' } })
    expect(inspected({ Env: null, Volumes: null })).toEqual(IMAGE)
  })

  it.each(['/', '/workspace/deep', '/.croft', '/proc/self', '/dev', '/sys'])('is no volume at %s', (path) => {
    expect(inspected({ Volumes: { [path]: {} } })).toEqual({ fault: expect.stringContaining('volume') as string })
  })

  it('are its other volumes, but where the view is', () => {
    const Volumes = { '/workspace': {}, '/workspaces': {}, '/dev/shm': {}, 'data/../data/': {} }
    expect(inspected({ Volumes })).toMatchObject({ volumes: ['/workspaces', '/dev/shm', '/data'] })
  })

  it('is no more than so much', () => {
    const of = (bytes: number) => inspected({ Env: [`A=${'x'.repeat(bytes - 2)}`] })
    expect(of(65_536)).not.toHaveProperty('fault')
    expect(of(65_537)).toEqual({ fault: expect.stringContaining('ENV') as string })
    const volumes = (count: number) =>
      inspected({ Volumes: Object.fromEntries(Array.from({ length: count }, (_, index) => [`/${index}`, {}])) })
    expect(volumes(16)).not.toHaveProperty('fault')
    expect(volumes(17)).toEqual({ fault: expect.stringContaining('volumes') as string })
  })
})
