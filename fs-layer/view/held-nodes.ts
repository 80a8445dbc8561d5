import type { Estate, Inherited } from '../delta/estate.ts'
import type { NodeId } from '../protocol/filesystem.ts'

/** Nodes told of by one piece of memory: 4 KiB, one bit each. */
const NODES_PER_PIECE = 32768
const BITS = 32

/**
 * Which nodes the kernel holds, in memory that outlives the thread: a successor must know whom to tell when the rules
 * change, and that a file which loses its name is still open. How often it was given each is not kept (see
 * `Overlay.adopt`).
 */
export class HeldNodes {
  readonly #estate: Estate
  readonly #pieces = new Map<number, Int32Array>()

  /** Goes on with what the thread before has left. */
  constructor(estate: Estate, inherited: Inherited) {
    this.#estate = estate
    for (const [piece, memory] of inherited) this.#pieces.set(piece, new Int32Array(memory))
  }

  add(node: NodeId): void {
    const words = this.#pieceOf(node)
    const bit = node % NODES_PER_PIECE
    words[Math.floor(bit / BITS)]! |= 1 << (bit % BITS)
  }

  delete(node: NodeId): void {
    const words = this.#pieces.get(Math.floor(node / NODES_PER_PIECE))
    const bit = node % NODES_PER_PIECE
    if (words !== undefined) words[Math.floor(bit / BITS)]! &= ~(1 << (bit % BITS))
  }

  *values(): Generator<NodeId> {
    for (const [piece, words] of this.#pieces) {
      for (let index = 0; index < words.length; index++) {
        const word = words[index]!
        if (word === 0) continue
        for (let bit = 0; bit < BITS; bit++) {
          if (word & (1 << bit)) yield piece * NODES_PER_PIECE + index * BITS + bit
        }
      }
    }
  }

  #pieceOf(node: NodeId): Int32Array {
    const piece = Math.floor(node / NODES_PER_PIECE)
    let words = this.#pieces.get(piece)
    if (words === undefined) {
      const memory = new SharedArrayBuffer(NODES_PER_PIECE / 8)
      words = new Int32Array(memory)
      this.#pieces.set(piece, words)
      this.#estate.keep(piece, memory)
    }
    return words
  }
}
