import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type NodeId, ROOT_NODE } from '../protocol/filesystem.ts'
import type { Log } from '../protocol/log.ts'
import type { Overlay } from './overlay.ts'
import type { View } from './view.ts'

const run = promisify(execFile)

/**
 * What the kernel keeps of a mounted view and has not sent yet: bytes that programs wrote, where it gathers them
 * (`writeback`), and pages of shared mappings anywhere. Whoever looks at the view from outside asks for them first.
 */
export class KernelCache {
  readonly #view: View
  /** Where it is mounted; `null` where that is another kernel's business. */
  readonly #target: string | null
  readonly #log: Log

  constructor(view: View, target: string | null, log: Log) {
    this.#log = log
    this.#view = view
    this.#target = target
  }

  /** Resolves when all that was written to the file at a path before the call is in the view. */
  async fetchAt(path: string): Promise<void> {
    // Without notices only all can be asked for.
    if (this.#view.notifier === null) return this.fetchAll()
    const node = fileAt(this.#view.overlay, path)
    if (node === null) return
    this.#view.notifier.nodeChanged(node, true)
    await this.#view.notifier.flush()
  }

  /**
   * The same for every file. syncfs(2) makes the kernel write; it is called by another process, because one that waits
   * for itself cannot even be killed. Another kernel is asked for each file that it knows.
   */
  async fetchAll(): Promise<void> {
    if (this.#target === null) return this.#fetchEach()
    try {
      await run('sync', ['-f', this.#target])
    } catch (error) {
      // It tells of writes that we refused since the last time (a full disk): whoever wrote has been told by fsync(2)
      // or close(2), and what the view has is what there is.
      this.#log('warn', 'not all that was written could be kept', { target: this.#target, error })
    }
  }

  async #fetchEach(): Promise<void> {
    for (const inode of this.#view.overlay.inMemory()) {
      if (inode.isFile && inode.refs > 0) this.#view.notifier?.nodeChanged(inode.node, true)
    }
    await this.#view.notifier?.flush()
  }
}

/** The node of a regular file that the kernel knows, if there is one; nothing is taken into memory for it. */
function fileAt(overlay: Overlay, path: string): NodeId | null {
  let inode = overlay.known(ROOT_NODE)
  for (const name of path === '' ? [] : path.split('/')) {
    const next = inode?.isDirectory ? overlay.lookup(inode, name) : null
    if (next === null) return null
    inode = next
  }
  return inode?.isFile && inode.isHeld ? inode.node : null
}
