import { describe, expect, it } from 'vitest'
import { chooseDevice, type DeviceProbes, type Finding } from './choose.ts'

const YES: Finding = { able: true, reason: 'it was tried' }
const NO: Finding = { able: false, reason: 'it is missing' }

function probes(kernel: Finding, fuseNative: Finding): DeviceProbes & { readonly tried: string[] } {
  const tried: string[] = []
  const found = (name: string, finding: Finding) => async () => {
    tried.push(name)
    return finding
  }
  return { kernel: found('kernel', kernel), 'fuse-native': found('fuse-native', fuseNative), tried }
}

describe('the choice of a device', () => {
  it.each([
    ['auto', YES, YES, 'kernel', 'kernel: it was tried'],
    ['auto', NO, YES, 'fuse-native', 'not kernel: it is missing; fuse-native: it was tried'],
    ['kernel', YES, NO, 'kernel', 'kernel: it was tried'],
    ['fuse-native', YES, YES, 'fuse-native', 'fuse-native: it was tried'],
  ] as const)('%s, kernel %o, fuse-native %o: %s', async (wanted, kernel, fuseNative, device, reason) => {
    expect(await chooseDevice(wanted, probes(kernel, fuseNative))).toEqual({ device, able: true, reason })
  })

  it.each([
    ['kernel', NO, YES, 'not kernel: it is missing'],
    ['fuse-native', YES, NO, 'not fuse-native: it is missing'],
  ] as const)('%s by name, kernel %o, fuse-native %o: refused, and why', async (wanted, kernel, fuseNative, why) => {
    await expect(chooseDevice(wanted, probes(kernel, fuseNative))).rejects.toMatchObject({
      code: 'DEVICE_MISSING',
      message: `views cannot be mounted as wanted: ${why}`,
    })
  })

  it('is the kernel where neither works, and says of each why not', async () => {
    expect(await chooseDevice('auto', probes(NO, NO))).toEqual({
      device: 'kernel',
      able: false,
      reason: 'not kernel: it is missing; not fuse-native: it is missing',
    })
  })

  it('tries nothing that it does not depend on', async () => {
    const given = probes(YES, YES)
    await chooseDevice('auto', given)
    expect(given.tried).toEqual(['kernel'])
  })
})
