import { describe, expect, it } from 'vitest'
import type { Capabilities } from '../../runtimes/contract/capabilities.ts'
import type { Probe } from '../../runtimes/contract/runtime.ts'
import { restrictionsOf } from './restrictions.ts'

const probe = (able: Partial<Capabilities> = {}, available = true): Probe => ({
  available,
  capabilities: { memoryLimit: true, cpuLimit: true, pidsLimit: true, systemCallFilter: true, ...able } as Capabilities,
})

describe('what a server says it cannot do', () => {
  it('is nothing where it is root and all is there', () => {
    expect(restrictionsOf({ isRoot: true, device: 'kernel', canMount: true, runtimes: [['bwrap', probe()]] })).toEqual(
      [],
    )
  })

  it('names what an ordinary user does without', () => {
    const runtimes = [['bwrap', probe({ memoryLimit: false, pidsLimit: false })]] as const
    const lines = restrictionsOf({ isRoot: false, device: 'kernel', canMount: true, runtimes })
    expect(lines).toEqual([
      expect.stringContaining('only namespaces stand between them'),
      expect.stringContaining('mount_max'),
      'bwrap: no limits of memory, processes, for no control group can be made; run the server as root',
    ])
  })

  it('says nothing of a runtime that does not run here, and that nothing starts without mounts', () => {
    const lines = restrictionsOf({
      isRoot: true,
      device: 'kernel',
      canMount: false,
      runtimes: [['bwrap', probe({}, false)]],
    })
    expect(lines).toEqual([expect.stringContaining('no sandbox can be started')])
  })
})
