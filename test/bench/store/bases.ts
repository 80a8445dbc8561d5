import type { Hash } from '../../../fs-layer/store/objects.ts'
import type { Store } from '../../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../../fs-layer/store/tree-builder.ts'

const FILES_IN_A_DIRECTORY = 100

/** A version of so many files, all of the same contents: trees are what is measured. */
export async function makeBase(store: Store, files: number): Promise<Hash> {
  const [blob] = await store.putSmallBlobs([{ data: Buffer.from('the same in every file\n') }])
  if (blob === undefined) throw new Error('the store took no blob')
  const times = { mtime: 1_700_000_000, mtimeNsec: 0 }
  const builder = new TreeBuilder({}, { store })
  for (let at = 0; at < files; at++) {
    const directory = `d${Math.floor(at / FILES_IN_A_DIRECTORY)}`
    if (at % FILES_IN_A_DIRECTORY === 0) builder.add({ kind: 'directory', path: directory, mode: 0o755, ...times })
    // Names differ from directory to directory: equal directories would be one tree.
    builder.add({ kind: 'file', path: `${directory}/${directory}-file-${at}`, mode: 0o644, ...times, ...blob })
  }
  const { hash } = await builder.finish()
  return hash
}
