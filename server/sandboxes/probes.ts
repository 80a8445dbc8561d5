import type { Probe, Runtime, RuntimeName } from '../../runtimes/contract/runtime.ts'

/** What the runtimes can do here. Each is tried once, when it is first asked for: a try starts a sandbox. */
export class Probes {
  readonly #runtimes: ReadonlyMap<RuntimeName, Runtime>
  readonly #probes = new Map<RuntimeName, Promise<Probe>>()

  constructor(runtimes: ReadonlyMap<RuntimeName, Runtime>) {
    this.#runtimes = runtimes
  }

  /** `undefined`: there is no such runtime. */
  of(name: RuntimeName): Promise<Probe> | undefined {
    const runtime = this.#runtimes.get(name)
    if (runtime === undefined) return undefined
    let probe = this.#probes.get(name)
    if (probe === undefined) {
      probe = this.#remembered(name, runtime)
      this.#probes.set(name, probe)
    }
    return probe
  }

  /** One that is not available is tried again the next time: what it lacks may be installed meanwhile. */
  async #remembered(name: RuntimeName, runtime: Runtime): Promise<Probe> {
    const probe = await runtime.probe()
    if (!probe.available) this.#probes.delete(name)
    return probe
  }
}

/** Nothing, where one of them can be had. */
export async function whyNoRuntime(
  probes: Pick<Probes, 'of'>,
  names: readonly RuntimeName[],
): Promise<string | undefined> {
  const reasons: string[] = []
  for (const name of names) {
    const probe = await probes.of(name)
    if (probe?.available) return undefined
    reasons.push(`${name}: ${probe?.reason ?? 'there is none'}`)
  }
  return reasons.join('; ')
}
