import { describe, expect, it } from 'vitest'
import type { LaunchSpec } from '../contract/runtime.ts'
import { type BwrapHost, faultInSpec, MIN_CPU_QUOTA_US, MIN_MEMORY_BYTES, planBwrap } from './plan.ts'

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

  it('binds nothing writable but the view', () => {
    const args = planBwrap(SPEC, HOST, { extraReadOnly: ['/opt/tools'] })
    expect(pairs(args, '--bind')).toEqual(['/srv/view'])
    expect(args.filter((arg) => /^--(dev-)?bind/.test(arg))).toEqual(['--bind'])
    expect(pairs(args, '--ro-bind')).toEqual(['/usr', '/lib', '/state/etc', '/etc/ssl/certs', '/opt/tools'])
    // After everything that needs a place to be made in it.
    expect(args.lastIndexOf('--remount-ro')).toBeGreaterThan(args.lastIndexOf('--bind'))
  })

  it('gives every tmpfs a size, all of them together well under the memory limit', () => {
    const sizesOf = (limits: LaunchSpec['limits']) => pairs(planBwrap({ ...SPEC, limits }, HOST), '--size').map(Number)
    const tmpfs = planBwrap(SPEC, HOST).filter((arg) => arg === '--tmpfs')
    expect(sizesOf({})).toHaveLength(tmpfs.length)
    const total = sizesOf({ memoryBytes: 1 << 28 }).reduce((sum, size) => sum + size)
    expect(total).toBeLessThan((1 << 28) * 0.75)
    expect(sizesOf({ tmpBytes: 123_456 })).toContain(123_456)
  })

  it('takes limits at their edge, and refuses them beyond it by name', () => {
    const fault = (limits: LaunchSpec['limits']) => faultInSpec({ ...SPEC, limits })
    expect(
      fault({ memoryBytes: MIN_MEMORY_BYTES, cpuQuotaUs: MIN_CPU_QUOTA_US, cpuShares: 2, pids: 1 }),
    ).toBeUndefined()
    expect(fault({ memoryBytes: MIN_MEMORY_BYTES - 1 })).toContain('limits.memoryBytes')
    expect(fault({ cpuQuotaUs: MIN_CPU_QUOTA_US - 1 })).toContain('limits.cpuQuotaUs')
    expect(fault({ cpuShares: 1 })).toContain('limits.cpuShares')
    expect(fault({ pids: 1.5 })).toContain('limits.pids')
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
