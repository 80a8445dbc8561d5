import { FALLOC_KEEP_SIZE, FALLOC_ZERO_RANGE, type Operation, pattern } from './operation.ts'

/** A change of a file's bytes, by the number of the operation that made it. */
export type Step = { readonly at: number } & (
  | { readonly kind: 'put'; readonly offset: number; readonly length: number; readonly tag: number }
  | { readonly kind: 'zero'; readonly from: number; readonly to: number }
  | { readonly kind: 'size'; readonly size: number }
)

export interface ModelInode {
  readonly kind: 'file' | 'directory' | 'symlink'
  mode: number
  readonly target: string
  readonly xattrs: Map<string, string>
  readonly entries: Map<string, ModelInode>
  size: number
  readonly steps: Step[]
  /** Operations after which the server has all its bytes, because a descriptor was closed or because it was asked. */
  readonly sentAt: number[]
  /** Operations that asked for its bytes to be made durable. */
  readonly syncedAt: number[]
}

/** What a writer's directory holds after each of its operations, which are numbered from 1. */
export class Model {
  readonly root = newInode('directory', 0o755)
  /** Each write is answered by the server: nothing stays with the kernel. */
  readonly #writesThrough: boolean

  constructor(options: { writesThrough: boolean }) {
    this.#writesThrough = options.writesThrough
  }

  /** A file that the base has. */
  plant(name: string, tag: number, length: number): void {
    const inode = newInode('file', 0o644)
    inode.steps.push({ at: 0, kind: 'put', offset: 0, length, tag })
    inode.size = length
    this.root.entries.set(name, inode)
  }

  apply(operation: Operation, at: number): void {
    const { directory, name } = this.#parent(operation.path)
    switch (operation.op) {
      case 'create': {
        const inode = newInode('file', 0o644)
        directory.entries.set(name, inode)
        put(inode, { at, kind: 'put', offset: 0, length: operation.length, tag: operation.tag })
        return this.#handled(inode, operation, at)
      }
      case 'write': {
        const inode = this.inode(operation.path)
        const { offset, length, tag } = operation
        put(inode, { at, kind: 'put', offset, length, tag })
        return this.#handled(inode, operation, at)
      }
      case 'truncate':
        put(this.inode(operation.path), { at, kind: 'size', size: operation.size })
        return void this.inode(operation.path).sentAt.push(at)
      case 'fallocate':
        return this.#fallocate(this.inode(operation.path), operation, at)
      case 'syncFile':
        this.inode(operation.path).syncedAt.push(at)
        return void this.inode(operation.path).sentAt.push(at)
      case 'syncDirectory':
        return
      case 'mkdir':
        return void directory.entries.set(name, newInode('directory', 0o755))
      case 'symlink':
        return void directory.entries.set(name, newInode('symlink', 0o777, operation.target))
      case 'rmdir':
      case 'unlink':
        return void directory.entries.delete(name)
      case 'link':
        return this.#put(operation.to, this.inode(operation.path))
      case 'rename': {
        const inode = this.inode(operation.path)
        // POSIX: between two names of one file a rename does nothing.
        if (this.find(operation.to) === inode) return
        directory.entries.delete(name)
        return this.#put(operation.to, inode)
      }
      case 'exchange': {
        const [one, other] = [this.inode(operation.path), this.inode(operation.to)]
        this.#put(operation.path, other)
        return this.#put(operation.to, one)
      }
      case 'chmod':
        this.inode(operation.path).mode = operation.mode
        return
      case 'setxattr':
        return void this.inode(operation.path).xattrs.set(operation.name, operation.value)
      case 'removexattr':
        return void this.inode(operation.path).xattrs.delete(operation.name)
    }
  }

  find(path: string): ModelInode | undefined {
    const { directory, name } = this.#parent(path)
    return name === '' ? directory : directory.entries.get(name)
  }

  inode(path: string): ModelInode {
    const found = this.find(path)
    if (found === undefined) throw new Error(`the model has no ${path}`)
    return found
  }

  #put(path: string, inode: ModelInode): void {
    const { directory, name } = this.#parent(path)
    directory.entries.set(name, inode)
  }

  #parent(path: string): { directory: ModelInode; name: string } {
    const names = path.split('/')
    let directory = this.root
    for (const name of names.slice(0, -1)) directory = directory.entries.get(name) as ModelInode
    return { directory, name: names.at(-1) as string }
  }

  #handled(inode: ModelInode, operation: Operation & { op: 'create' | 'write' }, at: number): void {
    if (operation.sync !== null) inode.syncedAt.push(at)
    if (this.#writesThrough || operation.sync !== null || !operation.keepsOpen) inode.sentAt.push(at)
  }

  #fallocate(inode: ModelInode, { mode, from, to }: Operation & { op: 'fallocate' }, at: number): void {
    if (mode !== 0 && from < inode.size) put(inode, { at, kind: 'zero', from, to: Math.min(to, inode.size) })
    const grows = mode === 0 || mode === FALLOC_ZERO_RANGE
    if (grows && (mode & FALLOC_KEEP_SIZE) === 0 && to > inode.size) put(inode, { at, kind: 'size', size: to })
    inode.sentAt.push(at)
  }
}

/** A file's bytes after its steps up to an operation. */
export function bytesAfter(inode: ModelInode, at: number): Buffer {
  let bytes = Buffer.alloc(0)
  for (const step of inode.steps) if (step.at <= at) bytes = stepped(bytes, step)
  return bytes
}

export function stepped(before: Buffer, step: Step): Buffer<ArrayBuffer> {
  if (step.kind === 'size') return resized(before, step.size)
  if (step.kind === 'zero') return resized(before, before.length).fill(0, step.from, step.to)
  const after = resized(before, Math.max(before.length, step.length === 0 ? 0 : step.offset + step.length))
  pattern(step.tag, step.offset, step.length).copy(after, step.offset)
  return after
}

function resized(bytes: Buffer, size: number): Buffer<ArrayBuffer> {
  const after = Buffer.alloc(size)
  bytes.copy(after)
  return after
}

function put(inode: ModelInode, step: Step): void {
  inode.steps.push(step)
  if (step.kind === 'size') inode.size = step.size
  else if (step.kind === 'put' && step.length > 0) inode.size = Math.max(inode.size, step.offset + step.length)
}

function newInode(kind: ModelInode['kind'], mode: number, target = ''): ModelInode {
  return { kind, mode, target, xattrs: new Map(), entries: new Map(), size: 0, steps: [], sentAt: [], syncedAt: [] }
}
