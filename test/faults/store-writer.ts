import { createHash, randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { Store } from '../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import { BlobUpload } from '../../fs-layer/store/upload.ts'

/**
 * A process that puts blobs and versions into a store for as long as it lives, and says of each, when it has
 * been acknowledged, `blob HASH` or `root HASH` in a line of standard output. For a test that kills it.
 */
async function main(dir: string): Promise<never> {
  const store = await Store.open({ dir })
  for (;;) {
    await using upload = new BlobUpload({}, { store })
    const builder = new TreeBuilder({}, { store })
    const put: string[] = []
    for (let index = 0; index < 20; index++) {
      const data = randomBytes(index % 3 === 0 ? 20_000 + index : 500 * index)
      const { hash, size } = await upload.addBytes({ hash: createHash('sha256').update(data).digest('hex') }, data)
      builder.add({ kind: 'file', path: `file${index}`, mode: 0o644, mtime: index, mtimeNsec: 0, hash, size })
      put.push(hash)
    }
    await upload.commit()
    for (const hash of put) say(`blob ${hash}`)
    const { hash } = await builder.finish()
    await store.setRoots([['latest', hash]])
    say(`root ${hash}`)
  }
}

// Written at once: a line that stands in a buffer when the process dies would be an acknowledgement unheard.
function say(line: string): void {
  writeSync(1, `${line}\n`)
}

await main(process.argv[2] as string)
