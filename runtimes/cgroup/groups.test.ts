import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { needs } from '../../test/needs.ts'
import { detectControlGroups, findGroups } from './detect.ts'
import { v2Settings } from './v2.ts'

describe('finding the control groups', () => {
  it('joins each version 1 mount with this process’s place in it', () => {
    const mountinfo = [
      '30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
      '31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct',
      '32 25 0:28 /docker/abc /sys/fs/cgroup/my\\040pids rw - cgroup cgroup rw,pids',
      '33 25 0:29 / / rw - ext4 /dev/vda rw',
    ].join('\n')
    const membership = '4:memory:/slice/me\n3:cpu,cpuacct:/\n2:pids:/docker/abc/x\n0::/\n'
    expect(findGroups(mountinfo, membership)).toEqual({
      v1: {
        memory: '/sys/fs/cgroup/memory/slice/me',
        cpu: '/sys/fs/cgroup/cpu,cpuacct',
        cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
        pids: '/sys/fs/cgroup/my pids/x',
      },
    })
  })

  it('finds version 2, and nothing where this process is outside of what is mounted', () => {
    const mountinfo = '30 25 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw'
    expect(findGroups(mountinfo, '0::/user.slice/a\n')).toEqual({ v1: {}, v2: '/sys/fs/cgroup/user.slice/a' })
    const part = '30 25 0:26 /user.slice /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw'
    expect(findGroups(part, '0::/system.slice\n')).toEqual({ v1: {} })
  })
})

describe('version 2', () => {
  it('writes each limit to its file, and swap off with memory', () => {
    expect(v2Settings({ memoryBytes: 1000, cpuQuotaUs: 50_000, pids: 5 })).toEqual([
      ['memory.max', '1000'],
      ['memory.swap.max', '0'],
      ['cpu.max', '50000 100000'],
      ['pids.max', '5'],
    ])
    expect(v2Settings({})).toEqual([])
  })

  it('turns shares into weights, end to end', () => {
    const weight = (cpuShares: number) => v2Settings({ cpuShares })[0]?.[1]
    expect([weight(2), weight(1024), weight(262_144)]).toEqual(['1', '39', '10000'])
  })
})

describe('a control group of this machine', () => {
  beforeEach((context) => needs(context, 'control-groups'))

  it('counts its members, and goes with them', async () => {
    const name = `croft-test-${randomBytes(6).toString('hex')}`
    const groups = await detectControlGroups()
    const group = await groups?.create(name, { pids: 10 })
    const child = spawn('sleep', ['600'], { stdio: 'ignore' })
    const exited = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
    for (const path of group?.procsPaths ?? []) writeFileSync(path, String(child.pid))
    expect(await group?.stats()).toMatchObject({ pids: 1 })
    await groups?.reap(name)
    expect(await exited).toBe('SIGKILL')
    for (const path of group?.procsPaths ?? []) expect(existsSync(dirname(path))).toBe(false)
    // What is gone already is no error.
    await groups?.reap(name)
  })

  it('has each limit in the kernel as it was given, swap counted as memory', async () => {
    const name = `croft-test-${randomBytes(6).toString('hex')}`
    const groups = await detectControlGroups()
    const limits = { memoryBytes: 64 << 20, cpuQuotaUs: 20_000, cpuShares: 128, pids: 7 }
    const group = await groups?.create(name, limits)
    try {
      const directories = group?.procsPaths.map((path) => dirname(path)) ?? []
      const read = (file: string) =>
        directories
          .map((directory) => join(directory, file))
          .flatMap((path) => (existsSync(path) ? [readFileSync(path, 'utf8').trim()] : []))
      expect(read('pids.max')).toEqual(['7'])
      if (groups?.version === 1) {
        expect(read('memory.limit_in_bytes')).toEqual([String(64 << 20)])
        // Memory and swap together: no byte of it can be swapped. Absent where the kernel does not account for swap.
        expect(read('memory.memsw.limit_in_bytes').every((value) => value === String(64 << 20))).toBe(true)
        expect([read('cpu.cfs_quota_us'), read('cpu.shares')]).toEqual([['20000'], ['128']])
      } else {
        expect([read('memory.max'), read('memory.swap.max')]).toEqual([[String(64 << 20)], ['0']])
        expect([read('cpu.max'), read('cpu.weight')]).toEqual([['20000 100000'], ['5']])
      }
    } finally {
      await group?.remove()
    }
  })

  it('knows of kills for want of memory for as long as it exists', async () => {
    const name = `croft-test-${randomBytes(6).toString('hex')}`
    const groups = await detectControlGroups()
    const group = await groups?.create(name, { memoryBytes: 64 << 20 })
    expect([group?.oomKills(), group?.oomKills()]).toEqual([0, 0])
    await group?.remove()
    expect(group?.oomKills()).toBeUndefined()
  })

  it('leaves nothing where a limit is refused', async () => {
    const name = `croft-test-${randomBytes(6).toString('hex')}`
    const groups = await detectControlGroups()
    await expect(groups?.create(name, { cpuQuotaUs: 1 })).rejects.toThrow()
    const group = await groups?.create(name, {})
    await group?.remove()
  })
})
