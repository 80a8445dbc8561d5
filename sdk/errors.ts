/**
 * Everything the SDK throws is a `CroftError`: `code` is for programs, the message is for people and ends with
 * what to do about it.
 */
export class CroftError extends Error {
  readonly code: ErrorCode
  /** What mends it, in one sentence; part of `message` too. */
  readonly remedy: string

  constructor(code: ErrorCode, what: string, options: ErrorDetails = {}) {
    const remedy = options.remedy ?? DEFAULT_REMEDY[code]
    super(remedy === '' ? what : `${withoutFullStop(what)}. ${remedy}`, { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.remedy = remedy
  }
}

export type ErrorCode =
  | 'not_found'
  | 'already_exists'
  | 'invalid_argument'
  | 'permission_denied'
  | 'unauthenticated'
  | 'not_running'
  | 'failed_precondition'
  | 'command_failed'
  | 'command_timeout'
  | 'timeout'
  | 'aborted'
  | 'conflict'
  | 'resource_exhausted'
  | 'unsupported'
  | 'server_unreachable'
  | 'unavailable'
  | 'server_start'
  | 'upload'
  | 'local_file'
  | 'internal'

export interface ErrorDetails {
  remedy?: string
  cause?: unknown
}

/** No sandbox, session, codebase or path of that name; a path that the rules hide is one of these too. */
export class NotFoundError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('not_found', what, options)
  }
}

/** The path is taken. */
export class AlreadyExistsError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('already_exists', what, options)
  }
}

/** An argument that cannot be right, whatever the state of the server. */
export class InvalidArgumentError extends CroftError {
  /** Name of the option or field, where it is known: `permissions[2].pattern`. */
  readonly field: string | undefined

  constructor(what: string, field?: string, options?: ErrorDetails) {
    super('invalid_argument', what, options)
    this.field = field
  }
}

/** The rules, or the server, do not allow it. */
export class PermissionDeniedError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('permission_denied', what, options)
  }
}

/** The server wants a token, or another one. */
export class UnauthenticatedError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('unauthenticated', what, options)
  }
}

/** The state of the sandbox (stopped, closed session, …) or of the path (directory not empty) does not fit. */
export class FailedPreconditionError extends CroftError {
  constructor(
    what: string,
    options?: ErrorDetails,
    code: 'failed_precondition' | 'not_running' = 'failed_precondition',
  ) {
    super(code, what, options)
  }
}

/** A command or session for a sandbox that is not running. */
export class NotRunningError extends FailedPreconditionError {
  constructor(what: string, options?: ErrorDetails) {
    super(what, options, 'not_running')
  }
}

/** What a command gave back, or had given when it was cut short. */
export interface CommandOutcome {
  /** 128 + the signal's number where a signal ended it. */
  readonly exitCode: number
  /** As UTF-8; what is not UTF-8 is replaced by U+FFFD. */
  readonly stdout: string
  readonly stderr: string
  /** `SIGKILL` and so on; absent where the command exited by itself. */
  readonly signal?: string
  readonly durationMs: number
  /** The output was longer than the cap; its end is missing. */
  readonly truncated: boolean
  /** It failed, and while it ran the kernel ended a process of the sandbox for want of memory. */
  readonly oomKilled: boolean
  /** Of the command and of what it waited for; absent where it was cut short. */
  readonly usage?: CommandUsage
}

export interface CommandUsage {
  readonly cpuUserMs: number
  readonly cpuSystemMs: number
  /** The most that one of its processes had in memory at a time; absent for a session's commands. */
  readonly peakMemoryBytes?: number
}

const MORE_MEMORY = 'Give the sandbox more memory: resources.memoryBytes, or --memory'

/** The command ended with another code than 0 and `check` was set. Has the result's shape. */
export class CommandFailedError extends CroftError implements CommandOutcome {
  readonly command: string
  readonly result: CommandOutcome
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  declare readonly signal?: string
  readonly durationMs: number
  readonly truncated: boolean
  readonly oomKilled: boolean
  declare readonly usage?: CommandUsage

  constructor(command: string, result: CommandOutcome, options?: ErrorDetails) {
    super('command_failed', failureText(command, result), { remedy: result.oomKilled ? MORE_MEMORY : '', ...options })
    this.command = command
    this.result = result
    this.exitCode = result.exitCode
    this.stdout = result.stdout
    this.stderr = result.stderr
    if (result.signal !== undefined) this.signal = result.signal
    this.durationMs = result.durationMs
    this.truncated = result.truncated
    this.oomKilled = result.oomKilled
    if (result.usage !== undefined) this.usage = result.usage
  }
}

/** The command outran its `timeoutMs` and was killed. `result` is what it had printed by then. */
export class CommandTimeoutError extends CroftError {
  readonly command: string
  readonly result: CommandOutcome

  constructor(command: string, result: CommandOutcome, options?: ErrorDetails) {
    super('command_timeout', `The command ${quote(command)} did not end within its time limit and was killed`, options)
    this.command = command
    this.result = result
  }
}

/** A call to the server took longer than its limit. */
export class TimeoutError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('timeout', what, options)
  }
}

/** The caller's `AbortSignal` fired. `cause` is its reason. */
export class AbortedError extends CroftError {
  constructor(what = 'The operation was aborted', options?: ErrorDetails) {
    super('aborted', what, options)
  }
}

/** Somebody else changed the same thing at the same time. */
export class ConflictError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('conflict', what, options)
  }
}

/** A quota, a disk or a message limit is used up. */
export class ResourceExhaustedError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('resource_exhausted', what, options)
  }
}

/** The server, or the runtime it uses, cannot do this. */
export class UnsupportedError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('unsupported', what, options)
  }
}

/** Nothing answers at the server's address. */
export class ServerUnreachableError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('server_unreachable', what, options)
  }
}

/** The server could not finish the call, and may a moment later: its filesystem was being restarted, or it is stopping. */
export class UnavailableError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('unavailable', what, options)
  }
}

/** A server was started for this user and did not come up. `logTail` is the end of its log. */
export class ServerStartError extends CroftError {
  readonly logFile: string
  readonly logTail: string

  constructor(what: string, log: { file: string; tail: string }, options?: ErrorDetails) {
    const tail = log.tail === '' ? '' : `; its last words were:\n${log.tail}\n`
    super('server_start', `${what}${tail}`, { remedy: `The whole log is ${log.file}`, ...options })
    this.logFile = log.file
    this.logTail = log.tail
  }
}

/** A local folder could not be uploaded. `path` is what was in the way. */
export class UploadError extends CroftError {
  readonly path: string

  constructor(path: string, what: string, options?: ErrorDetails) {
    super('upload', what, options)
    this.path = path
  }
}

/** A file of this machine could not be read or written. `path` says which. */
export class LocalFileError extends CroftError {
  readonly path: string

  constructor(path: string, what: string, options?: ErrorDetails) {
    super('local_file', what, options)
    this.path = path
  }
}

/** A fault of the server's, or something it should not have answered. */
export class InternalError extends CroftError {
  constructor(what: string, options?: ErrorDetails) {
    super('internal', what, options)
  }
}

const DEFAULT_REMEDY: Record<ErrorCode, string> = {
  not_found: 'Check the name; what the rules hide does not exist for the sandbox',
  already_exists: 'Choose another name or remove what is there first',
  invalid_argument: 'Correct the argument',
  permission_denied: 'Give the path a higher level with setPermissions, or ask as the owner',
  unauthenticated: 'Pass a valid token (option `token` or CROFT_TOKEN)',
  not_running: 'Start the sandbox first with start()',
  failed_precondition: 'Bring it into the state that the call needs, then try again',
  command_failed: '',
  command_timeout: 'Raise timeoutMs, or make the command quicker',
  timeout: 'Try again; if it lasts, look at the load and the log of the server',
  aborted: '',
  conflict: 'Try again',
  resource_exhausted: 'Free what is used up, or raise the limit on the server',
  unsupported: 'Choose another runtime, or leave the option out',
  server_unreachable: 'Start it with `croft serve`, or correct the address (option `server` or CROFT_SERVER)',
  unavailable: 'Try again',
  server_start: '',
  upload: 'Mend it, or exclude it in .croftignore',
  local_file: 'Check that it exists and that you may use it',
  internal: "Look for it in the server's log, and report it",
}

/** Every code that an error of the SDK may have. */
export const ERROR_CODES = Object.keys(DEFAULT_REMEDY) as readonly ErrorCode[]

function withoutFullStop(text: string): string {
  return text.endsWith('.') ? text.slice(0, -1) : text
}

function failureText(command: string, result: CommandOutcome): string {
  const how = result.signal === undefined ? `exited with code ${result.exitCode}` : `was ended by ${result.signal}`
  const lastWords = lastLine(result.stderr)
  const why = result.oomKilled ? ' when the sandbox was out of memory' : ''
  return `The command ${quote(command)} ${how}${why}${lastWords === '' ? '' : `: ${lastWords}`}`
}

function quote(command: string): string {
  const maxShown = 200
  return `\`${command.length > maxShown ? `${command.slice(0, maxShown)}…` : command}\``
}

function lastLine(text: string): string {
  const lines = text.trimEnd().split('\n')
  return lines[lines.length - 1] ?? ''
}
