import type { Rule } from '../../fs-layer/policy/rule.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import { ExportContent, ExportFormat, type ExportSpec } from '../../proto/index.ts'
import type { Codebases } from '../codebases/codebases.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { parsePrincipal } from '../files/file-entry.ts'
import { originOf } from '../records/origin.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'

export interface ExportSpecDependencies {
  readonly sandboxes: Sandboxes
  readonly snapshots: Snapshots
  readonly codebases: Codebases
}

export type Format = 'tar' | 'tar.gz' | 'tar.zst' | 'zip' | 'oci-layer' | 'oci-image' | 'patch' | 'git-bundle'

/** Of what, and how, once all of it is known to be there. */
export interface ParsedExport {
  /** For people, and in what the archive itself says: an id. */
  readonly name: string
  /** A version, or a sandbox that is to be one. */
  readonly version: Hash | SandboxRecord
  readonly format: Format
  /** For a delta: what it is to be added to. */
  readonly since: Hash | null
  /** Absent for the owner. */
  readonly rules: readonly Rule[] | undefined
}

/** Throws NOT_FOUND or INVALID_ARGUMENT, naming the field, before any work is done. */
export function parseExport(spec: ExportSpec, parts: ExportSpecDependencies): ParsedExport {
  const format = FORMATS[spec.format as keyof typeof FORMATS]
  if (format === undefined) throw invalid('spec.format', `is ${spec.format}, which is no format`)
  const isDelta = contentOf(spec, format) === 'delta'
  if (!isDelta && spec.since?.side.case !== undefined) throw invalid('spec.since', 'is for a delta')
  if (isDelta && format === 'oci-image') {
    throw invalid('spec.content', 'must be WHOLE: what a delta is to be added to is in no image')
  }
  if (format !== 'oci-image' && spec.image !== undefined) throw invalid('spec.image', 'is for OCI_IMAGE')
  if (format !== 'git-bundle' && spec.commitMessage !== '') throw invalid('spec.commit_message', 'is for GIT_BUNDLE')
  const source = sourceOf(spec, parts)
  const rules = rulesOf(spec, source)
  return {
    name: source.name,
    version: source.version,
    format,
    since: isDelta ? sinceOf(spec, source, parts) : null,
    rules,
  }
}

const FORMATS = {
  [ExportFormat.TAR]: 'tar',
  [ExportFormat.TAR_GZ]: 'tar.gz',
  [ExportFormat.TAR_ZST]: 'tar.zst',
  [ExportFormat.ZIP]: 'zip',
  [ExportFormat.OCI_LAYER]: 'oci-layer',
  [ExportFormat.OCI_IMAGE]: 'oci-image',
  [ExportFormat.PATCH]: 'patch',
  [ExportFormat.GIT_BUNDLE]: 'git-bundle',
} as const

function contentOf({ content }: ExportSpec, format: Format): 'whole' | 'delta' {
  switch (content) {
    case ExportContent.UNSPECIFIED:
      return format === 'oci-layer' || format === 'patch' ? 'delta' : 'whole'
    case ExportContent.DELTA:
      return 'delta'
    case ExportContent.WHOLE:
      if (format === 'patch') throw invalid('spec.content', 'must be DELTA: a patch has what is different')
      return 'whole'
    default:
      throw invalid('spec.content', `is ${content}, which is no content of an export`)
  }
}

interface Source {
  readonly name: string
  readonly version: Hash | SandboxRecord
  readonly rules: SandboxRecord['rules'] | undefined
  readonly base: Hash | undefined
  readonly origin: Hash | undefined
  /** What a delta is since, where nothing else is said. */
  readonly usual: Hash | undefined
}

function sourceOf({ source }: ExportSpec, { sandboxes, snapshots, codebases }: ExportSpecDependencies): Source {
  switch (source.case) {
    case 'sandboxId': {
      const sandbox = sandboxes.get(source.value)
      const { id, rules, base } = sandbox
      return { name: id, version: sandbox, rules, base, origin: originOf(sandbox), usual: base }
    }
    case 'snapshotId': {
      const snapshot = snapshots.get(source.value, 'spec.snapshot_id')
      // Of the sandbox as it is set now, where there is one still.
      const rules = sandboxes.exists(snapshot.sandboxId) ? sandboxes.get(snapshot.sandboxId).rules : snapshot.rules
      const { id, root, base } = snapshot
      const origin = originOf(snapshot)
      return { name: id, version: root, rules, base, origin, usual: origin }
    }
    case 'codebaseId': {
      const { id, root } = codebases.get(source.value)
      return { name: id, version: root, rules: undefined, base: undefined, origin: undefined, usual: undefined }
    }
    case undefined:
      throw invalid('spec.source', 'is missing')
  }
}

function rulesOf({ principal }: ExportSpec, { name, rules }: Source): readonly Rule[] | undefined {
  if (parsePrincipal(principal) === 'owner') return undefined
  if (rules !== undefined) return rules
  const text = `no rules say what of ${name} a sandbox may see: ask for all of it, with principal OWNER`
  throw new CroftError('FAILED_PRECONDITION', text, { field: 'spec.principal', reason: 'no_rules' })
}

function sinceOf(
  { since }: ExportSpec,
  { name, base, origin, usual }: Source,
  { snapshots }: ExportSpecDependencies,
): Hash {
  const side = since?.side
  switch (side?.case) {
    case 'snapshotId':
      return snapshots.get(side.value, 'spec.since.snapshot_id').root
    case 'live':
      throw invalid('spec.since', 'cannot be `live`: an export is of what is now, or was kept')
    case 'checkpointId':
      throw invalid('spec.since', 'cannot be a checkpoint, only a snapshot')
    case 'origin':
      if (origin !== undefined) return origin
      break
    case 'base':
      if (base !== undefined) return base
      break
    case undefined:
      // A snapshot keeps its origin, whatever becomes of the sandbox; what that was based on need not be there.
      if (usual !== undefined) return usual
  }
  throw invalid('spec.since', `must be a snapshot: ${name} is based on nothing`)
}
