import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { IN_FILE, IN_INDEX, Inode, type Place } from './inode.ts'
import { COPY_NOW_MAX_BYTES } from './limits.ts'
import { Moment } from './moment.ts'
import { OpenFiles } from './open-files.ts'

let dir: string
let files: OpenFiles
let closed: number

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-moment-'))
  files = new OpenFiles({ maxFiles: 4 })
  closed = 0
})

afterEach(() => {
  files[Symbol.dispose]()
  rmSync(dir, { recursive: true, force: true })
})

const pathOf = ({ node }: Inode) => join(dir, `backing-${node}`)

function inodeWith(node: number, contents: string, place: Place = IN_FILE): Inode {
  const inode = new Inode(node, null)
  inode.place = place
  write(inode, contents)
  return inode
}

function write(inode: Inode, contents: string): void {
  writeFileSync(pathOf(inode), contents)
  inode.size = contents.length
}

function momentOf(inodes: readonly Inode[], where = dir): Moment {
  return new Moment({ dir: where }, inodes, {
    read: (inode, offset, size, into, at) => readFileSync(pathOf(inode)).copy(into, at, offset, offset + size),
    pathOf,
    files,
    onClose: () => {
      closed++
    },
  })
}

function read(moment: Moment, { node }: Inode): string {
  const into = Buffer.alloc(moment.sizeOf(node))
  moment.read(node, 0, into)
  return into.toString()
}

it.each([
  ['in the index', IN_INDEX],
  ['in a file of its own', IN_FILE],
] as const)('what is %s is what it was, after it was changed, cut and removed', (_, place) => {
  const [changed, removed, kept] = [1, 2, 3].map((node) => inodeWith(node, `before ${node}`, place)) as [
    Inode,
    Inode,
    Inode,
  ]
  using moment = momentOf([changed, removed, kept])
  moment.beforeChange(changed)
  write(changed, 'x')
  moment.beforeChange(changed)
  write(changed, 'something else')
  moment.beforeRemoval(removed)
  rmSync(pathOf(removed))
  expect([changed, removed, kept].map((inode) => read(moment, inode))).toEqual(['before 1', 'before 2', 'before 3'])
})

it('a large file is copied beside, once, while its change waits; a small one is not waited for', async () => {
  const [large, small] = [
    inodeWith(1, 'x'.repeat(COPY_NOW_MAX_BYTES + 1)),
    inodeWith(2, 'y'.repeat(COPY_NOW_MAX_BYTES)),
  ]
  using moment = momentOf([large, small])
  expect(moment.copyBeside(small)).toBeNull()
  const copying = moment.copyBeside(large)
  expect(moment.copyBeside(large)).toBe(copying)
  await copying
  expect(moment.copyBeside(large)).toBeNull()
  write(large, 'changed')
  expect(read(moment, large)).toBe('x'.repeat(COPY_NOW_MAX_BYTES + 1))
})

it('where no copy can be made the reader is told, and the change is not', async () => {
  const [one, large] = [inodeWith(1, 'before'), inodeWith(2, 'x'.repeat(COPY_NOW_MAX_BYTES + 1))]
  const inTheWay = join(dir, 'file')
  writeFileSync(inTheWay, '')
  using moment = momentOf([one], inTheWay)
  moment.beforeChange(one)
  expect(() => read(moment, one)).toThrow('ENOTDIR')

  using other = momentOf([large])
  rmSync(pathOf(large))
  await other.copyBeside(large)
  expect(() => read(other, large)).toThrow('ENOENT')
})

it('what was read, and what nobody reads to its end, leaves no copies', () => {
  const [one, other] = [inodeWith(1, 'one'), inodeWith(2, 'other')]
  {
    using moment = momentOf([one, other])
    for (const inode of [one, other]) moment.beforeChange(inode)
    expect(readdirSync(join(dir, 'moments'))).toHaveLength(2)
    moment.drop(1)
    expect(readdirSync(join(dir, 'moments'))).toHaveLength(1)
    expect(() => read(moment, one)).toThrow('ENOENT')
  }
  expect(readdirSync(join(dir, 'moments'))).toEqual([])
  expect(closed).toBe(1)
})
