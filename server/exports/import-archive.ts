import { formatOf, type UnpackFormat, unpack } from '../../fs-layer/archive/unpack.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { ExportFormat, type ImportRequest, type ImportSpec, type NewCodebase } from '../../proto/index.ts'
import type { Codebases } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { CodebaseRecord } from '../records/record-types.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { goArchitecture } from './image-config.ts'
import { receive } from './incoming.ts'
import type { Versions } from './versions.ts'

export interface ImportDependencies {
  readonly codebases: Codebases
  readonly snapshots: Snapshots
  readonly versions: Versions
  readonly store: Store
  readonly limits: Limits
  readonly incomingDir: string
  readonly nowMs: () => number
}

export interface Imported {
  readonly codebase: CodebaseRecord
  readonly format: ExportFormat
  readonly size: number
  readonly sha256: Buffer
}

/** All of the archive is received before anything is made of it, and the codebase changes last. */
export async function importArchive(
  requests: AsyncIterable<ImportRequest>,
  signal: AbortSignal,
  parts: ImportDependencies,
): Promise<Imported> {
  const { codebases, versions, store, limits, incomingDir } = parts
  const stream = requests[Symbol.asyncIterator]()
  const spec = await specOf(stream)
  const target = targetOf(spec, codebases)
  const wanted = wantedFormat(spec.format)
  const base = baseOf(spec, target, wanted, parts)

  await using file = await receive(
    { dir: incomingDir, maxBytes: limits.maxArchiveBytes, field: 'data' },
    dataOf(stream),
  )
  const format = wanted ?? (await formatOf(file))
  await using held = await versions.hold(base, null, signal)
  const { hash } = await unpack(
    file,
    format,
    {
      base: held.hash,
      maxBytes: limits.maxUnpackedBytes,
      maxEntries: limits.maxTreeEntries,
      maxFileBytes: limits.maxUploadBytes,
      maxRatio: limits.maxUnpackRatio,
      freeBytes: limits.unpackRatioFromBytes,
      architecture: goArchitecture(),
      mtime: Math.floor(parts.nowMs() / 1000),
      signal,
    },
    { store },
  )
  const codebase =
    'root' in target
      ? await codebases.change(target.id, async (current) => {
          checkVersion(current, spec.ifRootHash)
          return hash
        })
      : await codebases.create(target.name, target.ownerId, hash)
  const { size, sha256 } = file
  return { codebase, format: FORMATS[format], size, sha256 }
}

async function specOf(stream: AsyncIterator<ImportRequest>): Promise<ImportSpec> {
  const { value: first } = (await stream.next()) as { value: ImportRequest | undefined }
  if (first?.message.case !== 'spec') throw invalid('spec', 'must be the first message of the stream')
  return first.message.value
}

async function* dataOf(stream: AsyncIterator<ImportRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { message } = next.value
    if (message.case !== 'data') throw invalid('spec', 'must come once: a stream carries one archive')
    yield message.value
  }
}

/** Throws before anything is received where it could not be. */
function targetOf({ target, ifRootHash }: ImportSpec, codebases: Codebases): NewCodebase | CodebaseRecord {
  if (target.case === undefined) throw invalid('spec.target', 'is missing')
  if (target.case === 'newCodebase') {
    if (ifRootHash.length > 0) throw invalid('spec.if_root_hash', 'is for a codebase that exists')
    codebases.checkNew(target.value.name, target.value.ownerId)
    return target.value
  }
  const current = codebases.get(target.value)
  checkVersion(current, ifRootHash)
  return current
}

/** Nobody's version is dropped unseen. */
function checkVersion({ id, root }: CodebaseRecord, wanted: Uint8Array): void {
  if (wanted.length === 0 || Buffer.from(wanted).toString('hex') === root) return
  const text = `codebase ${id} has another version now: begin with that, or do without if_root_hash`
  throw new CroftError('FAILED_PRECONDITION', text, { field: 'spec.if_root_hash', reason: 'codebase_changed' })
}

/** Undefined: by what it begins with. */
function wantedFormat(format: ExportFormat): UnpackFormat | undefined {
  switch (format) {
    case ExportFormat.UNSPECIFIED:
      return undefined
    case ExportFormat.TAR:
    case ExportFormat.TAR_GZ:
    case ExportFormat.TAR_ZST:
      return 'tar'
    case ExportFormat.ZIP:
      return 'zip'
    case ExportFormat.OCI_LAYER:
      return 'oci-layer'
    case ExportFormat.OCI_IMAGE:
      return 'oci-image'
    case ExportFormat.PATCH:
      return 'patch'
    case ExportFormat.GIT_BUNDLE: {
      const text = 'spec.format: git bundles cannot be imported yet'
      throw new CroftError('UNIMPLEMENTED', text, { field: 'spec.format' })
    }
    default:
      throw invalid('spec.format', `is ${format}, which is no format`)
  }
}

const FORMATS: Readonly<Record<UnpackFormat, ExportFormat>> = {
  tar: ExportFormat.TAR,
  zip: ExportFormat.ZIP,
  'oci-layer': ExportFormat.OCI_LAYER,
  'oci-image': ExportFormat.OCI_IMAGE,
  patch: ExportFormat.PATCH,
}

function baseOf(
  { base }: ImportSpec,
  target: NewCodebase | CodebaseRecord,
  format: UnpackFormat | undefined,
  { codebases, snapshots }: ImportDependencies,
): Hash {
  if (format !== 'oci-layer' && format !== 'patch') {
    if (base !== undefined) throw invalid('spec.base', 'is for an OCI_LAYER or a PATCH')
    return codebases.emptyRoot
  }
  switch (base?.base.case) {
    case 'codebaseId':
      return codebases.get(base.base.value).root
    case 'snapshotId':
      return snapshots.get(base.base.value, 'spec.base.snapshot_id').root
    default:
      if ('root' in target) return target.root
      throw invalid('spec.base', 'is missing: a layer or a patch is added to something')
  }
}
