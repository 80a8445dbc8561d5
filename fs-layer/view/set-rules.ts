import type { Inode } from '../delta/inode.ts'
import type { PathState } from '../policy/path-state.ts'
import type { Policy } from '../policy/policy.ts'
import type { Notifier } from '../protocol/filesystem.ts'
import type { Overlay } from './overlay.ts'
import type { PolicyVisibility } from './visibility.ts'

/**
 * Puts other rules in force for the next call, and has the kernel drop what it remembers of paths that the
 * new rules treat differently: names, names that did not exist, attributes, pages and listings.
 *
 * Pages that are mapped go too: who looks there again is refused by a signal. What is not taken back is in docs/SECURITY.md.
 */
export function setRules(
  policy: Policy,
  { overlay, visibility, notifier }: { overlay: Overlay; visibility: PolicyVisibility; notifier: Notifier | null },
): void {
  const before = visibility.policy
  // What has no name keeps the rights that it had, and in a removed directory no name leads anywhere.
  const known = [...overlay.heldByKernel()].filter((inode) => inode.nlink > 0)
  const old = new Map(known.map((inode) => [inode, visibility.stateOf(inode)]))
  visibility.setPolicy(policy)
  if (notifier === null) return
  for (const inode of known) {
    const was = old.get(inode)!
    const is = visibility.stateOf(inode)
    if (inode.isDirectory) announceNames(inode, was, is)
    if (inode.isDirectory || was.level !== is.level) notifier.nodeChanged(inode.node, true)
  }

  function announceNames(directory: Inode, was: PathState, is: PathState): void {
    for (const { name } of overlay.list(directory)) {
      const old = before.step(was, name)
      const now = policy.step(is, name)
      if (old.level !== now.level || old.mayRevealBelow !== now.mayRevealBelow) {
        notifier?.entryChanged(directory.node, name)
      }
    }
  }
}
