import type { Handover } from '../device/device.ts'
import type { ViewRemains } from '../view/open-view.ts'
import type { FsLayerError } from './fs-layer-error.ts'
import type { Kept, OpenCall } from './messages.ts'

/** A view as its thread's successor has to open it again: kept up to date by the calls that are answered. */
export class KeptView {
  /** With the rules, the owner and the quota in force. */
  open: OpenCall
  /** The thread has it open. */
  isOpen = false
  /** Where it is mounted. */
  target: string | null = null
  /** Where a mount is under way, which cannot be taken over. */
  mounting: string | null = null
  /** Of the mount; null where there is none, or it cannot be taken over. */
  handover: Handover | null = null
  /** Why it did not come back. */
  lost: FsLayerError | null = null
  readonly whenLost: Promise<FsLayerError>
  #settleLost: (reason: FsLayerError) => void = () => undefined
  readonly #remains: { readonly [part in keyof ViewRemains]: Map<number, SharedArrayBuffer> } = {
    journal: new Map(),
    held: new Map(),
    request: new Map(),
  }

  constructor(open: OpenCall) {
    this.open = open
    this.whenLost = new Promise((resolve) => {
      this.#settleLost = resolve
    })
  }

  keep({ part, piece, memory }: Kept): void {
    if (memory === undefined) this.#remains[part].delete(piece)
    else this.#remains[part].set(piece, memory)
  }

  /** The call that opens it as the dead thread left it. */
  reopen(): OpenCall {
    return { ...this.open, left: this.#remains }
  }

  lose(reason: FsLayerError): void {
    this.lost = reason
    this.target = null
    this.handover = null
    this.#settleLost(reason)
  }
}
