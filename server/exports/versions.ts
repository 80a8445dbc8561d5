import { randomBytes } from 'node:crypto'
import type { Hash, Root } from '../../fs-layer/store/objects.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { heldNames, heldRoots } from '../records/root-names.ts'
import { type FoldSandboxDependencies, foldSandbox } from '../snapshots/fold-sandbox.ts'

/** A version that stays in the store, also where nothing else needs it, until it is let go. */
export interface HeldVersion extends AsyncDisposable {
  readonly hash: Hash
  readonly root: Root
  /** FIFOs and sockets of a sandbox that are not in it. */
  readonly skipped: number
}

export class Versions {
  readonly #parts: FoldSandboxDependencies

  constructor(parts: FoldSandboxDependencies) {
    this.#parts = parts
  }

  /** Of a sandbox: what it is now. `since` is held too. With a key it stays when this server ends. */
  async hold(
    of: Hash | SandboxRecord,
    since: Hash | null,
    signal: AbortSignal,
    key = randomBytes(8).toString('hex'),
  ): Promise<HeldVersion> {
    const { store } = this.#parts
    const folded = typeof of === 'string' ? { hash: of, skipped: 0 } : await foldSandbox(of, signal, this.#parts)
    const { hash, skipped } = folded
    await store.setRoots(heldRoots(key, hash, since))
    const release = () => this.release(key)
    return { hash, skipped, root: store.rootSync(hash), [Symbol.asyncDispose]: release }
  }

  async release(key: string): Promise<void> {
    await this.#parts.store.deleteRoot(...heldNames(key))
  }
}
