import type { SandboxRecord } from '../records/record-types.ts'

/** What the directory of a sandbox's changes is called: another one each time a version was restored. */
export function deltaName({ id, restored = 0 }: Pick<SandboxRecord, 'id' | 'restored'>): string {
  return restored === 0 ? id : `${id}.${restored}`
}

/** The sandbox's id; `undefined` for a name that is no delta's. */
export function sandboxOfDelta(name: string): string | undefined {
  return /^(sb_[0-9a-f]{16})(?:\.[1-9]\d*)?$/.exec(name)?.[1]
}
