import { MAX_NAME_BYTES } from '../../fs-layer/store/limits.ts'
import type { ExportDestination } from '../../proto/index.ts'
import { MAX_PATH_BYTES } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { Place } from './write-below.ts'

/** What a record has of it. */
export interface DestinationRecord {
  readonly kind: 'file'
  readonly root: string
  /** Below the root; of a directory without a name of the file. */
  readonly names: readonly string[]
  readonly isDirectory: boolean
  readonly overwrite: boolean
}

/** Throws INVALID_ARGUMENT naming the field; FAILED_PRECONDITION where the server has no such place. */
export function parseDestination(message: ExportDestination | undefined, roots: readonly string[]): DestinationRecord {
  const destination = message?.destination
  if (destination?.case === undefined) throw invalid('destination', 'is missing')
  const field = 'destination.file.path'
  const { path, overwrite } = destination.value
  if (!path.startsWith('/')) throw invalid(field, 'must be absolute')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw invalid(field, `is longer than ${MAX_PATH_BYTES} bytes`)
  const names = path.split('/').filter((name) => name !== '')
  // Names that sha256sum would have to escape are not worth it.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const isBad = (name: string) => name === '.' || name === '..' || /[\u0000-\u001f\u007f\\]/.test(name)
  if (names.some(isBad))
    throw invalid(field, 'has a name that is `.` or `..`, or has control characters or a backslash')
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES - TAIL_BYTES)) {
    throw invalid(field, `has a name that is longer than ${MAX_NAME_BYTES - TAIL_BYTES} bytes`)
  }
  const clean = `/${names.join('/')}`
  const root = roots.find((each) => clean === each || clean.startsWith(each.endsWith('/') ? each : `${each}/`))
  if (root === undefined) {
    const text = `${field} is below none of the directories that the server's setting exports.roots names`
    throw new CroftError('FAILED_PRECONDITION', text, { field, reason: 'no_export_root' })
  }
  const below = clean
    .slice(root.length)
    .split('/')
    .filter((name) => name !== '')
  const isDirectory = path.endsWith('/')
  if (!isDirectory && below.length === 0) throw invalid(field, 'is a directory: end it with a slash')
  return { kind: 'file', root, names: below, isDirectory, overwrite }
}

/** For what is put behind a name, or before it. */
const TAIL_BYTES = 40

/** Which file it is, of a job that was started at that time. */
export function placeOf(
  { root, names, isDirectory }: DestinationRecord,
  job: { readonly id: string; readonly source: string; readonly createdAtMs: number; readonly extension: string },
): Place {
  if (!isDirectory) return { root, names }
  const time = new Date(job.createdAtMs).toISOString().replace(/[-:]|\.\d+/g, '')
  return { root, names: [...names, `${job.source}-${time}-${job.id.slice(-4)}${job.extension}`] }
}

export function pathOf({ root, names }: Place): string {
  return `${root.replace(/\/+$/, '')}/${names.join('/')}`
}
