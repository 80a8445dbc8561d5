import { randomBytes } from 'node:crypto'
import type { Hash, Root } from '../../fs-layer/store/objects.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { type FoldSandboxDependencies, foldSandbox } from '../snapshots/fold-sandbox.ts'

/** A version that stays in the store, also where nothing else needs it, until it is let go. */
export interface HeldVersion extends AsyncDisposable {
  readonly hash: Hash
  readonly root: Root
  /** FIFOs and sockets of a sandbox that are not in it. */
  readonly skipped: number
}

/** Names in the store for versions that somebody is reading. Those that a killed server left go when it starts. */
const HELD_PREFIX = 'export/'

export class Versions {
  readonly #parts: FoldSandboxDependencies

  constructor(parts: FoldSandboxDependencies) {
    this.#parts = parts
  }

  /** Of a sandbox: what it is now. `since` is held too. */
  async hold(of: Hash | SandboxRecord, since: Hash | null, signal: AbortSignal): Promise<HeldVersion> {
    const { store } = this.#parts
    const folded = typeof of === 'string' ? { hash: of, skipped: 0 } : await foldSandbox(of, signal, this.#parts)
    const { hash, skipped } = folded
    const name = `${HELD_PREFIX}${randomBytes(8).toString('hex')}`
    const names: [string, Hash][] = [
      [name, hash],
      ...(since === null ? [] : [[`${name}/since`, since] as [string, Hash]]),
    ]
    await store.setRoots(names)
    const release = () => store.deleteRoot(...names.map(([each]) => each))
    return { hash, skipped, root: store.rootSync(hash), [Symbol.asyncDispose]: release }
  }
}
