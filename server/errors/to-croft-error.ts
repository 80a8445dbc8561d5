import { ArchiveError, type ArchiveErrorCode } from '../../fs-layer/archive/archive-error.ts'
import { PolicyError } from '../../fs-layer/policy/policy-error.ts'
import { Errno } from '../../fs-layer/protocol/errno.ts'
import { StoreError, type StoreErrorCode } from '../../fs-layer/store/store-error.ts'
import { FsLayerError } from '../../fs-layer/worker/fs-layer-error.ts'
import { AgentError } from '../../runtimes/contract/agent.ts'
import { RuntimeError } from '../../runtimes/contract/runtime.ts'
import { CroftError, invalid, printable, type StatusName } from './croft-error.ts'
import { errnoToCroftError } from './errno-status.ts'

/**
 * The one way from whatever was thrown to an answer. `undefined`: nobody foresaw it, so the client is told no
 * more than a number by which the log can be searched.
 */
export function toCroftError(error: unknown): CroftError | undefined {
  if (error instanceof CroftError) return error
  if (error instanceof Errno) return errnoToCroftError(error)
  if (error instanceof PolicyError) return invalid('permissions', printable(error.message), error)
  if (error instanceof FsLayerError) return fromFsLayer(error)
  if (error instanceof StoreError) return fromStore(error)
  if (error instanceof ArchiveError) return fromArchive(error)
  if (error instanceof RuntimeError) return fromRuntime(error)
  if (error instanceof AgentError) return fromAgent(error)
  return undefined
}

/** What died, and why, is in the log. */
function fromFsLayer(error: FsLayerError): CroftError {
  const text = {
    'thread-died': 'the filesystem was restarted while the call was under way; try again',
    'thread-stuck': 'the filesystem did not answer and is being restarted; try again later',
    'view-lost': 'the files of the sandbox cannot be reached until it is started again',
    'given-up': 'the filesystem has failed, and the server ends',
  }
  const reason = `filesystem_${error.code.replace('-', '_')}`
  return new CroftError('UNAVAILABLE', text[error.code], { reason, cause: error })
}

const STATUS_OF_STORE: Readonly<Partial<Record<StoreErrorCode, StatusName>>> = {
  mismatch: 'INVALID_ARGUMENT',
  full: 'RESOURCE_EXHAUSTED',
  closed: 'UNAVAILABLE',
  invalid: 'INVALID_ARGUMENT',
  limit: 'INVALID_ARGUMENT',
  duplicate: 'INVALID_ARGUMENT',
  'missing-parent': 'INVALID_ARGUMENT',
  'not-a-directory': 'INVALID_ARGUMENT',
  'is-a-directory': 'INVALID_ARGUMENT',
  'not-found': 'NOT_FOUND',
  missing: 'DATA_LOSS',
  corrupt: 'DATA_LOSS',
}

function fromStore(error: StoreError): CroftError | undefined {
  const code = STATUS_OF_STORE[error.code]
  return code === undefined ? undefined : new CroftError(code, error.message, { cause: error })
}

const STATUS_OF_ARCHIVE: Readonly<Record<ArchiveErrorCode, StatusName>> = {
  truncated: 'INVALID_ARGUMENT',
  damaged: 'INVALID_ARGUMENT',
  unsupported: 'INVALID_ARGUMENT',
  unsafe: 'INVALID_ARGUMENT',
  conflict: 'INVALID_ARGUMENT',
  limit: 'RESOURCE_EXHAUSTED',
}

function fromArchive(error: ArchiveError): CroftError {
  const message = printable(error.message, MAX_ARCHIVE_TEXT)
  // Of whichever stream it came by: no call takes two.
  const data = { field: 'data', reason: `archive_${error.code}`, cause: error }
  return new CroftError(STATUS_OF_ARCHIVE[error.code], message, data)
}

/** It has a path in it, of which the end tells more than the beginning. */
const MAX_ARCHIVE_TEXT = 500

function fromRuntime(error: RuntimeError): CroftError {
  const code = {
    unavailable: 'FAILED_PRECONDITION',
    unsupported: 'UNIMPLEMENTED',
    image: 'FAILED_PRECONDITION',
    failed: 'INTERNAL',
  } as const
  return new CroftError(code[error.code], printable(error.message), {
    reason: `runtime_${error.code}`,
    ...(error.code === 'image' ? { field: 'image' } : {}),
    cause: error,
  })
}

/** `spawn` is answered where the command is started: only there is it known what was to be started. */
function fromAgent(error: AgentError): CroftError {
  return new CroftError('ABORTED', 'the sandbox ended while the call was under way', {
    reason: 'sandbox_ended',
    cause: error,
  })
}
