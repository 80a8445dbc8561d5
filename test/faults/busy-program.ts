import * as fs from 'node:fs'
import { join } from 'node:path'

/**
 * A program in a view that trusts nothing: each call is made in a plain directory too, and must give the same. It
 * never removes a file that it holds open. Told to stop, it compares both trees; what differs is its last word.
 *
 *     node busy-program.js VIEW PLAIN SEED
 */
const [view = '', plain = '', seed = ''] = process.argv.slice(2)
const random = mulberry(Number(seed))
const held = ['held0', 'held1', 'held2'].map((name) => ({
  view: fs.openSync(join(view, name), 'a+'),
  plain: fs.openSync(join(plain, name), 'a+'),
}))
let stopping = false
process.on('message', () => {
  stopping = true
})

for (let made = 1; !stopping; made++) {
  const call = pick()
  const [there, here] = [answer(() => call.run(view, 'view')), answer(() => call.run(plain, 'plain'))]
  if (!same(there, here)) end(`${call.name}: ${brief(there)} in the view, ${brief(here)} in a plain directory`)
  if (made % 16 === 0) {
    process.send?.(made)
    await new Promise((turn) => setImmediate(turn))
  }
}
const [there, here] = [tree(view), tree(plain)]
const differs = [...new Set([...there.keys(), ...here.keys()])].find((path) => !same(there.get(path), here.get(path)))
end(differs === undefined ? '' : `${differs}: ${brief(there.get(differs))}, and ${brief(here.get(differs))}`)

type Side = 'view' | 'plain'

function pick(): { name: string; run: (root: string, side: Side) => unknown } {
  const path = `${letter()}/${letter()}${letter()}`
  const to = `${letter()}/${letter()}${letter()}`
  const bytes = Buffer.alloc(below(below(4) === 0 ? 200_000 : 9000), 97 + below(26))
  const at = below(20_000)
  const file = held[below(held.length)] as { view: number; plain: number }
  const calls: [name: string, run: (root: string, side: Side) => unknown][] = [
    [`mkdir ${path}`, (root) => fs.mkdirSync(join(root, path.slice(0, 1)))],
    [`mkdir ${path}`, (root) => fs.mkdirSync(join(root, path))],
    [`write ${path}`, (root) => fs.writeFileSync(join(root, path), bytes)],
    [`replace ${path}`, (root) => replace(join(root, path), bytes)],
    [`append ${path}`, (root) => fs.appendFileSync(join(root, path), bytes.subarray(0, 100))],
    [`truncate ${path}`, (root) => fs.truncateSync(join(root, path), at)],
    [`rename ${path} ${to}`, (root) => fs.renameSync(join(root, path), join(root, to))],
    [`link ${path} ${to}`, (root) => fs.linkSync(join(root, path), join(root, to))],
    [`unlink ${path}`, (root) => fs.unlinkSync(join(root, path))],
    [`rmdir ${path}`, (root) => fs.rmdirSync(join(root, path))],
    [`exclusive ${path}`, (root) => fs.closeSync(fs.openSync(join(root, path), 'wx'))],
    [`symlink ${path}`, (root) => fs.symlinkSync(to, join(root, path))],
    [`chmod ${path}`, (root) => fs.chmodSync(join(root, path), 0o700 + (at % 64))],
    [`read ${path}`, (root) => fs.readFileSync(join(root, path))],
    [`list ${path}`, (root) => fs.readdirSync(join(root, path.slice(0, 1))).sort()],
    [`stat ${path}`, (root) => attributes(join(root, path))],
    ['write held', (_, side) => fs.writeSync(file[side], bytes.subarray(0, 500))],
    ['read held', (_, side) => readAt(file[side], at)],
    ['fsync held', (_, side) => fs.fsyncSync(file[side])],
  ]
  const [name, run] = calls[below(calls.length)] as (typeof calls)[number]
  return { name, run }
}

function replace(path: string, bytes: Buffer): void {
  const fd = fs.openSync(`${path}.new`, 'w')
  fs.writeSync(fd, bytes)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  fs.renameSync(`${path}.new`, path)
}

function readAt(fd: number, at: number): Buffer {
  const into = Buffer.alloc(1000)
  return into.subarray(0, fs.readSync(fd, into, 0, into.length, at))
}

function answer(call: () => unknown): unknown {
  try {
    return call() ?? null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Buffer.isBuffer(a) && Buffer.isBuffer(b)) return a.equals(b)
  return JSON.stringify(a) === JSON.stringify(b)
}

function attributes(path: string): unknown {
  const { mode, nlink, size } = fs.lstatSync(path)
  return { mode, nlink, size: (mode & 0o170000) === 0o040000 ? 0 : size }
}

function tree(root: string): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const path of fs.readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const at = join(root, path)
    const kind = fs.lstatSync(at)
    const contents = kind.isFile() ? fs.readFileSync(at, 'latin1') : kind.isSymbolicLink() ? fs.readlinkSync(at) : ''
    found.set(path, [attributes(at), contents])
  }
  return found
}

function brief(value: unknown): string {
  return Buffer.isBuffer(value) ? `${value.length} bytes` : String(JSON.stringify(value)).slice(0, 200)
}

function end(word: string): never {
  process.send?.(word)
  process.disconnect()
  process.exit()
}

function letter(): string {
  return 'abc'.charAt(below(3))
}

function below(limit: number): number {
  return Math.floor(random() * limit)
}

/** A small generator of numbers between 0 and 1, the same ones for the same seed. */
function mulberry(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
