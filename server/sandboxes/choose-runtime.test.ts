import { describe, expect, it } from 'vitest'
import { NO_CAPABILITIES } from '../../runtimes/contract/capabilities.ts'
import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { chooseRuntime } from './choose-runtime.ts'

const works: Probe = { available: true, capabilities: NO_CAPABILITIES }
const broken: Probe = { available: false, reason: 'nobody listens there', capabilities: NO_CAPABILITIES }

function choose(image: string, here: Partial<Record<RuntimeName, Probe>>, unable: readonly RuntimeName[] = []) {
  const asked: RuntimeName[] = []
  const probe = (runtime: RuntimeName) => {
    const found = here[runtime]
    if (found !== undefined) asked.push(runtime)
    return found === undefined ? undefined : Promise.resolve(found)
  }
  const chosen = chooseRuntime({ image, probe }, (runtime) => {
    if (unable.includes(runtime)) throw new CroftError('UNIMPLEMENTED', `${runtime} cannot do that`)
    return runtime
  })
  return { chosen, asked }
}

describe('the runtime that is chosen', () => {
  it('is the strongest of those that work', async () => {
    const all = { bwrap: works, podman: works, docker: works, gvisor: works }
    await expect(choose('debian', all).chosen).resolves.toBe('gvisor')
    await expect(choose('debian', { ...all, gvisor: broken }).chosen).resolves.toBe('docker')
    await expect(choose('debian', { ...all, gvisor: broken, docker: broken }).chosen).resolves.toBe('podman')
    await expect(choose('', { qemu: works, ...all }).chosen).resolves.toBe('qemu')
  })

  it('is one that needs no image where none is named, and no engine is asked then', async () => {
    const { chosen, asked } = choose('', { bwrap: works, docker: works, podman: works })
    await expect(chosen).resolves.toBe('bwrap')
    expect(asked).toEqual(['bwrap'])
  })

  it('can do all that is asked for', async () => {
    await expect(choose('debian', { docker: works, podman: works }, ['docker']).chosen).resolves.toBe('podman')
  })

  it('is none where none can, and each is named with its reason', async () => {
    await expect(choose('debian', { bwrap: works, podman: broken }, ['bwrap']).chosen).rejects.toMatchObject({
      code: 'UNIMPLEMENTED',
      field: 'runtime',
      message: expect.stringMatching(/podman: nobody listens there.*bwrap cannot do that/) as string,
    })
  })

  it('does not hide what is wrong with a request in any of them', async () => {
    const wrong = invalid('seccomp', 'must be one of these')
    const chosen = chooseRuntime({ image: '', probe: () => Promise.resolve(works) }, () => {
      throw wrong
    })
    await expect(chosen).rejects.toBe(wrong)
  })
})
