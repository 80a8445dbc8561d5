import { MAX_NAME_BYTES } from '../../protocol/constants.ts'
import { ENAMETOOLONG, ENOENT } from '../../protocol/errno.ts'
import { type ByteString, type Caller, type Filesystem, type NodeId, ROOT_NODE } from '../../protocol/filesystem.ts'

/**
 * From the paths of libfuse 2 to nodes. Each name on the way is looked up, which adds a reference to its node; all
 * of them are given back when `use` has returned. Links are nodes like others: the kernel follows them.
 */
export function withNode<T>(filesystem: Filesystem, caller: Caller, path: string, use: (node: NodeId) => T): T {
  const visited: NodeId[] = []
  let node = ROOT_NODE
  try {
    for (const name of names(path)) {
      const attr = filesystem.lookup(caller, node, name)
      if (attr === null) throw ENOENT
      node = attr.node
      visited.push(node)
    }
    return use(node)
  } finally {
    for (const one of visited) filesystem.forget(one, 1)
  }
}

/** The node of the directory that holds the last name of `path`, and that name. */
export function withParent<T>(
  filesystem: Filesystem,
  caller: Caller,
  path: string,
  use: (parent: NodeId, name: ByteString) => T,
): T {
  const slash = path.lastIndexOf('/')
  const [name] = names(path.slice(slash + 1))
  if (name === undefined) throw ENOENT
  return withNode(filesystem, caller, path.slice(0, slash), (parent) => use(parent, name))
}

/** The package decodes names as UTF-8, so one that is none cannot be reached. */
function names(path: string): ByteString[] {
  const found = path.split('/').filter((name) => name !== '')
  return found.map((name) => {
    const bytes = byteString(name)
    if (bytes.length > MAX_NAME_BYTES) throw ENAMETOOLONG
    return bytes
  })
}

export function byteString(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1')
}

export function text(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
