import { createHash } from 'node:crypto'
import { createDeflate, deflateSync } from 'node:zlib'
import { through } from './compress.ts'
import { gathered } from './gathered.ts'
import { type GitObject, GitObjects } from './git-objects.ts'
import { type ArchiveSource, contentsOf } from './write.ts'

export interface CommitOptions {
  readonly message: string
  readonly branch: string
}

/**
 * A bundle (gitformat-bundle, version 2) with one commit; with `base` with two, the first of which has that. The time of
 * a commit is that of the newest of its files, its author is nobody: the same files give the same commit.
 */
export function writeGitBundle(
  source: ArchiveSource,
  { message, branch }: CommitOptions,
  base?: ArchiveSource,
): AsyncGenerator<Buffer> {
  return gathered(pieces(source, base, message, branch))
}

async function* pieces(source: ArchiveSource, base: ArchiveSource | undefined, message: string, branch: string) {
  const objects = new GitObjects()
  const parent = base === undefined ? undefined : await addCommit(objects, base, `Before: ${message}`)
  const tip = await addCommit(objects, source, message, parent)
  yield Buffer.from(`# v2 git bundle\n${tip} refs/heads/${branch}\n${tip} HEAD\n\n`)
  const hash = createHash('sha1')
  for await (const piece of pack(source, objects)) {
    hash.update(piece)
    yield piece
  }
  yield hash.digest()
}

async function addCommit(
  objects: GitObjects,
  source: ArchiveSource,
  message: string,
  parent?: string,
): Promise<string> {
  const { tree, newestMtime } = await objects.addTree(source)
  const who = `Croft <croft@localhost> ${newestMtime} +0000`
  const lines = [`tree ${tree}`, ...(parent === undefined ? [] : [`parent ${parent}`]), `author ${who}`]
  return objects.addCommit(`${[...lines, `committer ${who}`, '', message].join('\n')}\n`)
}

/** gitformat-pack, version 2, each object as it is: what is alike is told apart by whoever packs it again. */
async function* pack(source: ArchiveSource, objects: GitObjects): AsyncGenerator<Buffer> {
  const head = Buffer.alloc(12)
  head.write('PACK', 0)
  head.writeUInt32BE(2, 4)
  head.writeUInt32BE(objects.count, 8)
  yield head
  for (const object of objects.all) {
    source.signal?.throwIfAborted()
    yield objectHead(object)
    if (object.type !== 'blob') yield deflateSync(object.bytes)
    else if (object.entry.kind === 'symlink') yield deflateSync(Buffer.from(object.entry.target, 'latin1'))
    else if (object.size === 0) yield deflateSync(Buffer.alloc(0))
    else yield* through(contentsOf(source, object.entry), createDeflate())
  }
}

const TYPES = { commit: 1, tree: 2, blob: 3 } as const

/** The type and four bits of the size, then seven bits in each byte; the highest says that there is another. */
function objectHead({ type, size }: GitObject): Buffer {
  const bytes: number[] = []
  let byte = (TYPES[type] << 4) | (size % 16)
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push(byte | 0x80)
    byte = rest % 128
  }
  bytes.push(byte)
  return Buffer.from(bytes)
}
