import type { RUNTIMES_IN_TABLE } from '../../../runtimes/contract/capabilities.ts'
import { openBwrapHouse } from '../../fixtures/bwrap-sandbox.ts'
import { type EngineName, startEngine } from '../../fixtures/engines/engine.ts'
import { toolsImage } from '../../fixtures/engines/images.ts'
import { openOciHouse } from '../../fixtures/engines/oci-house.ts'
import type { RuntimeHouse } from '../../fixtures/runtime-house.ts'
import type { Need } from '../../probes.ts'

/** A runtime that the contract is run on. */
export interface Place {
  readonly name: (typeof RUNTIMES_IN_TABLE)[number]
  readonly needs: readonly Need[]
  /** Starts what it needs beside itself. */
  open(): Promise<OpenPlace>
}

export interface OpenPlace extends AsyncDisposable {
  openHouse(): RuntimeHouse
  /** For a server: where its engine is, if it has one, and the image that all cases run in. */
  readonly settings: Readonly<Record<string, string>>
  readonly image?: string
}

/** Whoever adds a runtime adds it here. */
export const PLACES: readonly Place[] = [
  {
    name: 'bwrap',
    needs: ['bwrap', 'control-groups', 'python3', 'bash', 'dash', 'busybox'],
    open: async () => ({ openHouse: openBwrapHouse, settings: {}, [Symbol.asyncDispose]: async () => undefined }),
  },
  ofEngine('docker'),
  ofEngine('podman'),
]

function ofEngine(name: EngineName): Place {
  return {
    name,
    needs: [name, 'python3', 'bash', 'dash', 'busybox'],
    async open() {
      const engine = await startEngine(name)
      const image = await toolsImage(engine)
      return {
        openHouse: () => openOciHouse(engine, image),
        settings: { [`CROFT_${name.toUpperCase()}_SOCKET`]: engine.socketPath },
        image,
        [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
      }
    },
  }
}
