import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import { needs } from '../../../test/needs.ts'
import { probeKernelDevice } from './probe.ts'

/** For whom fusermount3 mounts nothing, for they have no name. */
const NAMELESS = 64_321

describe('the probe of the kernel device', () => {
  beforeEach((context) => needs(context, 'root', 'fuse'))

  it('finds that it can be mounted, and leaves no mount', async () => {
    expect(await probeKernelDevice()).toMatchObject({ able: true })
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain('croft-probe')
  })

  it('finds that a user without fusermount3 cannot, and says what mends that', () => {
    const probe = fileURLToPath(new URL('../../../dist/fs-layer/device/kernel/probe.js', import.meta.url))
    const script = `process.setuid(${NAMELESS}); console.log(JSON.stringify(await (await import('${probe}')).probeKernelDevice()))`
    const found = JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: '/', encoding: 'utf8' }),
    )
    expect(found).toEqual({ able: false, reason: expect.stringMatching(/fusermount3.*run as root/) })
  })
})
