import type { NodeId, Notifier } from '../protocol/filesystem.ts'
import type { Overlay } from './overlay.ts'

/** The same notices, and a note with each inode that the kernel will ask for its attributes again. */
export function notingStale(notifier: Notifier, overlay: Overlay): Notifier {
  const asksAgain = (node: NodeId) => {
    const inode = overlay.known(node)
    if (inode !== undefined) inode.attributesKept = false
  }
  return {
    ...notifier,
    nodeChanged(node, contents) {
      asksAgain(node)
      notifier.nodeChanged(node, contents)
    },
    stored(node, offset, data) {
      asksAgain(node)
      notifier.stored(node, offset, data)
    },
  }
}
