import type { AccessTrail, TrailEntry } from '../trail.ts'

/** A trail in a file: what `croft trail --json` prints and `croft policy suggest` reads. */
export interface TrailJson extends Omit<AccessTrail, 'entries'> {
  readonly entries: readonly TrailEntryJson[]
}

export interface TrailEntryJson extends Omit<TrailEntry, 'rawPath'> {
  /** The path's bytes in base 64, where they are no UTF-8. */
  readonly bytes?: string
}

export function trailToJson({ entries, ...trail }: AccessTrail): TrailJson {
  return {
    ...trail,
    entries: entries.map(({ rawPath, ...entry }) => {
      const isText = Buffer.from(entry.path, 'utf8').equals(rawPath)
      return isText ? entry : { ...entry, bytes: Buffer.from(rawPath).toString('base64') }
    }),
  }
}
