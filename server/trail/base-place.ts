import type { Place } from '../../fs-layer/policy/suggest/place.ts'
import type { Hash, TreeEntry } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'

/** A version of a codebase, read as far as it is asked for. */
export function basePlace(store: Store, root: Hash): Place {
  const { tree } = store.rootSync(root)
  return { name: '', isDirectory: true, isEmpty: false, entries: () => entriesOf(store, tree) }
}

function entriesOf(store: Store, tree: Hash): Place[] {
  return store.treeSync(tree).entries.map((entry) => placeOf(store, entry))
}

function placeOf(store: Store, entry: TreeEntry): Place {
  const { name } = entry
  if (entry.kind === 'directory') {
    return { name, isDirectory: true, isEmpty: false, entries: () => entriesOf(store, entry.hash) }
  }
  return { name, isDirectory: false, isEmpty: entry.kind === 'file' && entry.size === 0, entries: () => [] }
}
