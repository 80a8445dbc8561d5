import { describe, expect, it } from 'vitest'
import { LIMIT_RANGES } from '../contract/limits.ts'
import type { LaunchSpec, Limits } from '../contract/runtime.ts'
import { faultInSpec } from '../contract/spec.ts'
import { type BwrapHost, planBwrap } from './plan.ts'

const SPEC: LaunchSpec = {
  sandboxId: 'sb_1',
  instance: 'i1',
  viewPath: '/srv/view',
  workspace: '/workspace',
  hostUid: 100_001,
  hostGid: 100_001,
  scratchDir: '/srv',
  hostname: 'box',
  limits: {},
  network: { mode: 'off' },
}

const HOST: BwrapHost = {
  links: [{ path: '/bin', target: 'usr/bin' }],
  directories: ['/lib'],
  etcDir: '/state/etc',
  etcBinds: ['/etc/ssl/certs'],
  resolvConf: '/state/resolv.conf',
  proc: {
    hidden: { files: ['keys'], directories: ['fs'] },
    closedFile: '/state/closed',
    bootIdFile: '/state/boot-id',
    emptyDir: '/state/empty',
    processOneDir: '/state/process-1',
  },
}

describe('the plan of a bwrap sandbox', () => {
  it('takes every namespace, every right and the environment away', () => {
    const args = planBwrap(SPEC, HOST)
    for (const flag of [
      '--unshare-all',
      '--unshare-user',
      '--disable-userns',
      '--clearenv',
      '--new-session',
      '--die-with-parent',
    ]) {
      expect(args).toContain(flag)
    }
    expect(pairs(args, '--cap-drop')).toEqual(['ALL'])
    expect(args).not.toContain('--share-net')
  })

  it('has a name server where it has the whole network', () => {
    const full = planBwrap({ ...SPEC, network: { mode: 'full' } }, HOST)
    expect(full.join(' ')).toContain('--ro-bind /state/resolv.conf /etc/resolv.conf')
    expect(planBwrap(SPEC, HOST).join(' ')).not.toContain('resolv')
  })

  it('binds nothing writable but the view', () => {
    const args = planBwrap(SPEC, HOST, { extraReadOnly: ['/opt/tools'] })
    expect(pairs(args, '--bind')).toEqual(['/srv/view'])
    expect(args.filter((arg) => /^--(dev-)?bind/.test(arg))).toEqual(['--bind'])
    expect(pairs(args, '--ro-bind')).toEqual([
      '/usr',
      '/lib',
      '/state/etc',
      '/etc/ssl/certs',
      '/state/boot-id',
      '/state/closed',
      '/state/empty',
      '/state/process-1',
      '/opt/tools',
    ])
    // After everything that needs a place to be made in it.
    expect(args.lastIndexOf('--remount-ro')).toBeGreaterThan(args.lastIndexOf('--bind'))
  })

  it('hides what tells of the host in /proc, and process 1', () => {
    const args = planBwrap(SPEC, HOST).join(' ')
    expect(args).toContain('--ro-bind /state/closed /proc/keys')
    expect(args).toContain('--ro-bind /state/empty /proc/fs')
    expect(args).toContain('--ro-bind /state/process-1 /proc/1')
    expect(args.indexOf('--proc /proc')).toBeLessThan(args.indexOf('/proc/keys'))
  })

  it('gives every tmpfs a size, all of them together well under the memory limit', () => {
    const sizesOf = (limits: LaunchSpec['limits']) => pairs(planBwrap({ ...SPEC, limits }, HOST), '--size').map(Number)
    const tmpfs = planBwrap(SPEC, HOST).filter((arg) => arg === '--tmpfs')
    expect(sizesOf({})).toHaveLength(tmpfs.length)
    const total = sizesOf({ memoryBytes: 1 << 28 }).reduce((sum, size) => sum + size)
    expect(total).toBeLessThan((1 << 28) * 0.75)
    expect(sizesOf({ tmpBytes: 123_456 })).toContain(123_456)
  })

  const EDGES = Object.entries(LIMIT_RANGES) as [keyof Limits, { least: number; most: number }][]
  it.each(EDGES)('takes %s at both edges, and refuses it beyond them by its name', (limit, { least, most }) => {
    const fault = (value: number) => faultInSpec({ ...SPEC, limits: { [limit]: value } })
    expect([fault(least), fault(most)]).toEqual([undefined, undefined])
    for (const value of [least - 1, most + 1, least + 0.5]) expect(fault(value)).toContain(`limits.${limit} must be`)
  })

  it('gives /tmp no more than half of the memory', () => {
    const fault = (tmpBytes: number) => faultInSpec({ ...SPEC, limits: { tmpBytes, memoryBytes: 1 << 28 } })
    expect(fault(1 << 27)).toBeUndefined()
    expect(fault((1 << 27) + 1)).toContain('limits.tmpBytes must be at most half of the memory')
  })

  it('hands limits of each process to the agent, in their places', () => {
    const lastTwo = (limits: Limits) => planBwrap({ ...SPEC, limits }, HOST).slice(-2)
    expect(lastTwo({ openFiles: 64 })).toEqual(['64', '-'])
    expect(lastTwo({ fileBytes: 4096 })).toEqual(['-', '4096'])
    expect(lastTwo({})).toEqual(['/proc/1/exe', '3'])
  })

  it.each(['/usr/x', '/etc', '/proc/1', '/', '/tmp', '/home/croft', '/a//b', '/a/', 'a', '/a\0'])(
    'refuses %j as the workspace',
    (workspace) => {
      expect(faultInSpec({ ...SPEC, workspace })).toContain('workspace')
    },
  )

  it.each(['/workspace', '/home/croft/project', '/srv', '/tmp/project'])('takes %j as the workspace', (workspace) => {
    expect(faultInSpec({ ...SPEC, workspace })).toBeUndefined()
  })
})

/** What follows each occurrence of a flag. */
function pairs(args: readonly string[], flag: string): string[] {
  return args.flatMap((arg, at) => (arg === flag ? [args[at + 1] ?? ''] : []))
}
