import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { copyTrail, type FsLayer, type ViewHandle } from '../../fs-layer/index.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { deltaName } from './delta-name.ts'

export interface ViewsOptions {
  /** Each sandbox's delta is a directory in it. */
  readonly deltasDir: string
  /** How long a view that is not mounted stays open after its last use. */
  readonly idleMs: number
  /** Whom the files of a view belong to while its sandbox does not run. */
  readonly restingOwner: Owner
}

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** A view that stays open until `release`, which must be called once. */
export interface Lease {
  readonly view: ViewHandle
  release(): void
}

interface OpenView {
  readonly opening: Promise<ViewHandle>
  handle: ViewHandle | undefined
  leases: number
  lastUsedMs: number
  /** It did not come back when the filesystem thread died; whoever comes next opens another. */
  isLost: boolean
}

/**
 * The views that are open: one for each sandbox that runs, and those of others for as long as somebody looks
 * at their files. A delta has one view at a time, so one that is being closed is waited for.
 */
export class Views implements AsyncDisposable {
  readonly #options: ViewsOptions
  readonly #fsLayer: FsLayer
  readonly #nowMs: () => number
  readonly #open = new Map<string, OpenView>()
  readonly #closing = new Map<string, Promise<void>>()

  constructor(options: ViewsOptions, dependencies: { fsLayer: FsLayer; nowMs: () => number }) {
    this.#options = options
    this.#fsLayer = dependencies.fsLayer
    this.#nowMs = dependencies.nowMs
  }

  get size(): number {
    return this.#open.size
  }

  async lease(sandbox: SandboxRecord, owner?: Owner): Promise<Lease> {
    let open = this.#open.get(sandbox.id)
    if (open?.isLost) {
      void this.close(sandbox.id)
      open = undefined
    }
    if (open === undefined) {
      open = this.#begin(sandbox, owner ?? this.#options.restingOwner)
      this.#open.set(sandbox.id, open)
    } else if (owner !== undefined) {
      await (await open.opening).setOwner(owner)
    }
    open.leases += 1
    try {
      return this.#leaseOf(open, open.handle ?? (await open.opening))
    } catch (error) {
      if (this.#open.get(sandbox.id) === open) this.#open.delete(sandbox.id)
      throw error
    }
  }

  /** Of a view that is open; another one is opened with the rules of its record. */
  async setRules(sandboxId: string, rules: SandboxRecord['rules']): Promise<void> {
    await (await this.#open.get(sandboxId)?.opening)?.setRules(rules)
  }

  /** Those that nobody has used for a while are closed. */
  async sweep(): Promise<void> {
    const before = this.#nowMs() - this.#options.idleMs
    const idle = [...this.#open].filter(([, open]) => open.leases === 0 && open.lastUsedMs <= before)
    await Promise.all(idle.map(([id]) => this.close(id)))
  }

  /** Whoever still holds a lease gets errors from then on. */
  async close(sandboxId: string): Promise<void> {
    const open = this.#open.get(sandboxId)
    if (open === undefined) return this.#closing.get(sandboxId)
    this.#open.delete(sandboxId)
    const closed = open.opening.then((handle) => handle.close()).finally(() => this.#closing.delete(sandboxId))
    this.#closing.set(sandboxId, closed)
    return closed
  }

  /** With the delta: all that the sandbox changed since it was made, or since a version was restored, is gone. */
  async remove(sandbox: SandboxRecord): Promise<void> {
    await this.close(sandbox.id)
    await rm(this.#deltaDir(sandbox), { recursive: true, force: true })
  }

  /** A delta for a sandbox that is to begin anew. What is on its access trail stays there. */
  async prepare(before: SandboxRecord, after: SandboxRecord): Promise<void> {
    await this.close(before.id)
    await rm(this.#deltaDir(after), { recursive: true, force: true })
    await copyTrail(this.#deltaDir(before), this.#deltaDir(after))
  }

  #deltaDir(sandbox: SandboxRecord): string {
    return join(this.#options.deltasDir, deltaName(sandbox))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.close(id)))
    await Promise.all(this.#closing.values())
  }

  #begin(sandbox: SandboxRecord, owner: Owner): OpenView {
    const spec = {
      id: sandbox.id,
      base: sandbox.base,
      deltaDir: this.#deltaDir(sandbox),
      rules: sandbox.rules,
      owner,
      ...(sandbox.quota === undefined ? {} : { quota: sandbox.quota }),
    }
    const closing = this.#closing.get(sandbox.id)
    const opening =
      closing === undefined ? this.#fsLayer.openView(spec) : closing.then(() => this.#fsLayer.openView(spec))
    const open: OpenView = { opening, handle: undefined, leases: 0, lastUsedMs: this.#nowMs(), isLost: false }
    opening.then(
      (handle) => {
        open.handle = handle
        void handle.lost.then(() => {
          open.isLost = true
        })
      },
      // Whoever leased it is told; there may be no other.
      () => undefined,
    )
    return open
  }

  #leaseOf(open: OpenView, view: ViewHandle): Lease {
    return {
      view,
      release: () => {
        open.leases -= 1
        open.lastUsedMs = this.#nowMs()
      },
    }
  }
}
