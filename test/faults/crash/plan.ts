import type { Model, ModelInode } from './model.ts'
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, type Operation, type Sync } from './operation.ts'

/** Sizes about the edges: of what is inline, of pages, of one request. */
const LENGTHS = [0, 1, 100, 4095, 4096, 5000, 16_383, 16_384, 16_385, 30_000, 70_000, 200_000]
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']
const DIRECTORIES = ['p', 'q', 'r']

export type Random = () => number

/** Numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a writer does next: something that works, given what its directory holds. */
export function nextOperations(model: Model, random: Random, at: number): Operation[] {
  for (;;) {
    const operations = (weighted(KINDS, random) as Kind)({ model, random, at })
    if (operations !== null) return operations
  }
}

interface Context {
  readonly model: Model
  readonly random: Random
  readonly at: number
}
type Kind = (context: Context) => Operation[] | null

const create: Kind = ({ model, random, at }) => {
  const path = freePath(model, random)
  return path === null ? null : [{ op: 'create', path, tag: at, length: lengthOf(random), ...handling(random) }]
}

/** As editors and databases do it: what is under the name is whole at any time. */
const replace: Kind = ({ model, random, at }) => {
  const to = chosen(files(model), random)
  if (to === null || model.find('tmp') !== undefined) return null
  const sync = random() < 0.7 ? 'fsync' : null
  const made: Operation = { op: 'create', path: 'tmp', tag: at, length: lengthOf(random), sync, keepsOpen: false }
  const renamed: Operation = { op: 'rename', path: 'tmp', to }
  return random() < 0.4 ? [made, renamed, { op: 'syncDirectory', path: '' }] : [made, renamed]
}

const write: Kind = ({ model, random, at }) => {
  const path = chosen(files(model), random)
  if (path === null) return null
  const { size } = model.inode(path)
  const append = random() < 0.4
  const offset = append ? size : Math.floor(random() * Math.min(size + 5000, 250_000))
  const length = append ? Math.min(lengthOf(random), 20_000) : lengthOf(random)
  return [{ op: 'write', path, offset, tag: at, length, append, ...handling(random) }]
}

const truncate: Kind = ({ model, random }) => {
  const path = chosen(files(model), random)
  return path === null ? null : [{ op: 'truncate', path, size: lengthOf(random) }]
}

const fallocate: Kind = ({ model, random }) => {
  const path = chosen(files(model), random)
  if (path === null) return null
  const mode = pick([0, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, FALLOC_ZERO_RANGE], random)
  const from = Math.floor(random() * 40_000)
  return [{ op: 'fallocate', path, mode, from, to: from + 1 + lengthOf(random) }]
}

const rename: Kind = ({ model, random }) => {
  const path = chosen([...files(model), ...directories(model)], random)
  if (path === null) return null
  const isDirectory = model.inode(path).kind === 'directory'
  if (isDirectory) {
    const to = pick(DIRECTORIES, random)
    return model.find(to) === undefined ? [{ op: 'rename', path, to }] : null
  }
  const to = random() < 0.5 ? chosen(files(model), random) : freePath(model, random)
  return to === null || to === path ? null : [{ op: 'rename', path, to }]
}

const exchange: Kind = ({ model, random }) => {
  const [path, to] = [chosen(files(model), random), chosen(files(model), random)]
  if (path === null || to === null || model.find(path) === model.find(to)) return null
  return [{ op: 'exchange', path, to }]
}

const link: Kind = ({ model, random }) => {
  const [path, to] = [chosen(files(model), random), freePath(model, random)]
  return path === null || to === null ? null : [{ op: 'link', path, to }]
}

const unlink: Kind = ({ model, random }) => {
  const path = chosen([...files(model), ...links(model)], random)
  return path === null ? null : [{ op: 'unlink', path }]
}

const mkdir: Kind = ({ model, random }) => {
  const path = pick(DIRECTORIES, random)
  return model.find(path) === undefined ? [{ op: 'mkdir', path }] : null
}

const rmdir: Kind = ({ model, random }) => {
  const path = chosen(directories(model), random)
  return path === null || model.inode(path).entries.size > 0 ? null : [{ op: 'rmdir', path }]
}

const symlink: Kind = ({ model, random, at }) => {
  const path = freePath(model, random)
  return path === null ? null : [{ op: 'symlink', path, target: `target-${at}` }]
}

const chmod: Kind = ({ model, random }) => {
  const path = chosen(files(model), random)
  return path === null ? null : [{ op: 'chmod', path, mode: pick([0o600, 0o640, 0o755], random) }]
}

const setxattr: Kind = ({ model, random, at }) => {
  const path = chosen([...files(model), ...directories(model)], random)
  if (path === null) return null
  return [{ op: 'setxattr', path, name: pick(['user.a', 'user.b'], random), value: `value-${at}` }]
}

const removexattr: Kind = ({ model, random }) => {
  const path = chosen(files(model), random)
  const name = path === null ? null : chosen([...model.inode(path).xattrs.keys()], random)
  return path === null || name === null ? null : [{ op: 'removexattr', path, name }]
}

const syncFile: Kind = ({ model, random }) => {
  const path = chosen(files(model), random)
  return path === null ? null : [{ op: 'syncFile', path, sync: pick<Sync>(['fsync', 'fdatasync'], random) }]
}

const syncDirectory: Kind = ({ model, random }) => {
  return [{ op: 'syncDirectory', path: chosen(['', ...directories(model)], random) ?? '' }]
}

const KINDS: readonly (readonly [weight: number, kind: Kind])[] = [
  [14, create],
  [6, replace],
  [22, write],
  [5, truncate],
  [5, fallocate],
  [7, rename],
  [2, exchange],
  [4, link],
  [8, unlink],
  [3, mkdir],
  [1, rmdir],
  [3, symlink],
  [3, chmod],
  [3, setxattr],
  [1, removexattr],
  [5, syncFile],
  [3, syncDirectory],
]

function handling(random: Random): { sync: Sync | null; keepsOpen: boolean } {
  const sync = random() < 0.12 ? 'fsync' : random() < 0.14 ? 'fdatasync' : null
  return { sync, keepsOpen: random() < 0.35 }
}

function lengthOf(random: Random): number {
  const length = pick(LENGTHS, random)
  return random() < 0.5 ? length : Math.floor(random() * length)
}

function freePath(model: Model, random: Random): string | null {
  const name = pick(NAMES, random)
  const directory = random() < 0.4 ? chosen(directories(model), random) : null
  const path = directory === null ? name : `${directory}/${name}`
  return model.find(path) === undefined ? path : null
}

function files(model: Model): string[] {
  return paths(model, (inode) => inode.kind === 'file')
}

function links(model: Model): string[] {
  return paths(model, (inode) => inode.kind === 'symlink')
}

function directories(model: Model): string[] {
  return paths(model, (inode) => inode.kind === 'directory')
}

function paths(model: Model, wanted: (inode: ModelInode) => boolean): string[] {
  const found: string[] = []
  for (const [name, inode] of model.root.entries) {
    if (wanted(inode)) found.push(name)
    for (const [below, each] of inode.entries) if (wanted(each)) found.push(`${name}/${below}`)
  }
  return found.sort()
}

function weighted<T>(from: readonly (readonly [number, T])[], random: Random): T {
  let left = random() * from.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, each] of from) {
    left -= weight
    if (left < 0) return each
  }
  return (from.at(-1) as readonly [number, T])[1]
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)] as T
}

function chosen<T>(from: readonly T[], random: Random): T | null {
  return from.length === 0 ? null : pick(from, random)
}
