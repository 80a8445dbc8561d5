import type { DirectoryEntry, Hash, Root, Tree } from './objects.ts'

type Subtree = Pick<DirectoryEntry, 'hash' | 'inodes'>

/**
 * Files and links of a tree, counted from a version of which the number is known: only what the two do not share is
 * looked at. Trees of either that are not in the other are opened, the larger first, for what contains another is
 * larger than it; so nothing is opened that turns out to be shared.
 */
export function countFiles(tree: Subtree, known: Root, treeOf: (hash: Hash) => Tree): number {
  let files = known.files
  const open = new Map<Hash, { readonly inodes: number; times: number }>()
  const waiting = new Descending()
  const note = ({ hash, inodes }: Subtree, times: number) => {
    const there = open.get(hash)
    if (there === undefined) {
      open.set(hash, { inodes, times })
      waiting.add(inodes, hash)
    } else {
      there.times += times
    }
  }
  note(tree, 1)
  note({ hash: known.tree, inodes: known.inodes }, -1)
  for (let hash = waiting.take(); hash !== undefined; hash = waiting.take()) {
    const times = open.get(hash)?.times ?? 0
    open.delete(hash)
    if (times === 0) continue
    for (const entry of treeOf(hash).entries) {
      if (entry.kind === 'directory') note(entry, times)
      else files += times
    }
  }
  return files
}

/** Hashes by size, the largest first. What is added is never larger than what was taken last. */
class Descending {
  readonly #bySize = new Map<number, Hash[]>()
  #sizes: number[] = []

  add(size: number, hash: Hash): void {
    const there = this.#bySize.get(size)
    if (there !== undefined) {
      there.push(hash)
      return
    }
    this.#bySize.set(size, [hash])
    this.#push(size)
  }

  take(): Hash | undefined {
    for (let size = this.#sizes[0]; size !== undefined; size = this.#sizes[0]) {
      const hash = this.#bySize.get(size)?.pop()
      if (hash !== undefined) return hash
      this.#bySize.delete(size)
      this.#pop()
    }
    return undefined
  }

  #push(size: number): void {
    const heap = this.#sizes
    let at = heap.length
    heap.push(size)
    for (let above = (at - 1) >> 1; at > 0 && (heap[above] ?? 0) < size; above = (at - 1) >> 1) {
      heap[at] = heap[above] ?? 0
      heap[above] = size
      at = above
    }
  }

  #pop(): void {
    const heap = this.#sizes
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const larger = (heap[left + 1] ?? -1) > (heap[left] ?? -1) ? left + 1 : left
      if ((heap[larger] ?? -1) <= last) break
      heap[at] = heap[larger] ?? 0
      at = larger
    }
    heap[at] = last
  }
}
