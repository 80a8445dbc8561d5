import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { BY_STRENGTH, needsImage } from '../../runtimes/contract/strength.ts'
import { CroftError } from '../errors/croft-error.ts'

export interface RuntimeChoice {
  readonly image: string
  /** `undefined`: this server has no such runtime. */
  readonly probe: (runtime: RuntimeName) => Promise<Probe> | undefined
}

/**
 * What `fits` says of the strongest runtime that works here and can do all that is asked for. `fits` throws
 * UNIMPLEMENTED for one that cannot; whatever else it throws is wrong with the request in any of them.
 */
export async function chooseRuntime<T>(
  { image, probe: probeOf }: RuntimeChoice,
  fits: (runtime: RuntimeName, probe: Probe) => T,
): Promise<T> {
  const passedOver: string[] = []
  for (const runtime of BY_STRENGTH) {
    // Without asking: an engine that hangs would be waited for in vain.
    if (image === '' && needsImage(runtime)) continue
    const probe = await probeOf(runtime)
    if (probe === undefined) continue
    if (!probe.available) {
      passedOver.push(`${runtime}: ${probe.reason ?? 'is not available'}`)
      continue
    }
    try {
      return fits(runtime, probe)
    } catch (error) {
      if (!(error instanceof CroftError) || error.code !== 'UNIMPLEMENTED') throw error
      passedOver.push(error.message)
    }
  }
  const hint = image === '' ? ' (an `image` would let container engines be tried)' : ''
  throw new CroftError('UNIMPLEMENTED', `runtime: none here can do this${hint}. ${passedOver.join('. ')}`, {
    field: 'runtime',
    reason: 'unsupported',
  })
}
