import { posix } from 'node:path'
import type { ExecRequest } from '../../proto/index.ts'
import type { SpawnSpec } from '../../runtimes/contract/agent.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import { environment } from './environment.ts'
import { parseTimeout, type Timeout } from './timeout.ts'

export interface Command {
  readonly spec: SpawnSpec
  /** All of it, known beforehand; absent: none, or it comes later. */
  readonly input: Buffer | undefined
  readonly timeout: Timeout
}

export interface Terminal {
  readonly rows: number
  readonly columns: number
}

export interface CommandContext {
  readonly limits: Limits
  /** Where the view stands inside. */
  readonly workspace: string
  /** Where a command begins that names no directory. Default: there. */
  readonly cwd?: string
  /** stdin comes while the command runs. */
  readonly liveInput?: boolean
  readonly terminal?: Terminal | undefined
  /** Where the request names none. Default: `execTimeoutDefaultMs`. */
  readonly defaultTimeoutMs?: number
}

/** What a request asks to be run. Throws INVALID_ARGUMENT or UNIMPLEMENTED naming the field. */
export function parseCommand(
  request: ExecRequest,
  { limits, workspace, cwd = workspace, liveInput, terminal, defaultTimeoutMs }: CommandContext,
): Command {
  checkUser(request.user)
  const input = parseInput(request)
  if (liveInput === true && input !== undefined) throw invalid('stdin', 'must come in messages of its own here')
  return {
    spec: {
      argv: parseArguments(request, limits),
      env: environment(request.env, { field: 'env', limits, terminal: terminal !== undefined }),
      cwd: request.workdir === '' ? cwd : parseWorkdir(request.workdir, workspace),
      ...(input !== undefined || (liveInput === true && terminal === undefined) ? { stdin: true } : {}),
      ...(terminal === undefined ? {} : { terminal }),
    },
    input,
    timeout: parseTimeout(request.timeout, limits, defaultTimeoutMs),
  }
}

/** There are no rights inside that one user could have and another not. */
function checkUser(user: string): void {
  if (['', 'croft', '1000'].includes(user)) return
  throw new CroftError('UNIMPLEMENTED', `user cannot be ${printable(user)}: a sandbox has one, croft (1000)`, {
    field: 'user',
    reason: 'unsupported',
  })
}

function parseArguments({ command, argv }: ExecRequest, limits: Limits): (string | Buffer)[] {
  if (argv.length === 0) {
    if (command === '') throw invalid('command', 'is missing')
    checkShellCommand(command, limits)
    return ['/bin/sh', '-c', command]
  }
  if (command !== '') throw invalid('argv', 'must not be given together with `command`')
  if (argv.length > limits.maxArguments) throw invalid('argv', `has more than ${limits.maxArguments} arguments`)
  let size = 0
  for (const [index, argument] of argv.entries()) {
    if (argument.includes(0)) throw invalid(`argv[${index}]`, 'contains a NUL byte')
    size += argument.length + 1
  }
  if (size > limits.maxArgumentsBytes) throw invalid('argv', `is larger than ${limits.maxArgumentsBytes} bytes`)
  if (argv[0]?.length === 0) throw invalid('argv[0]', 'is empty')
  return argv.map((argument) => Buffer.from(argument.buffer, argument.byteOffset, argument.length))
}

/** Also of a session's commands. */
export function checkShellCommand(command: string, limits: Limits): void {
  if (command === '') throw invalid('command', 'is missing')
  if (command.includes('\0')) throw invalid('command', 'contains a NUL byte')
  if (Buffer.byteLength(command) > limits.maxCommandBytes) {
    throw invalid('command', `is longer than ${limits.maxCommandBytes} bytes`)
  }
}

function parseInput({ stdin, stdinBytes }: ExecRequest): Buffer | undefined {
  if (stdin !== '' && stdinBytes.length > 0) throw invalid('stdin_bytes', 'must not be given together with `stdin`')
  if (stdin !== '') return Buffer.from(stdin, 'utf8')
  if (stdinBytes.length === 0) return undefined
  return Buffer.from(stdinBytes.buffer, stdinBytes.byteOffset, stdinBytes.length)
}

/** Resolved inside by whoever runs there: `..` leads nowhere that the command could not go by itself. */
function parseWorkdir(workdir: string, workspace: string): string {
  if (workdir.includes('\0')) throw invalid('workdir', 'contains a NUL byte')
  const path = posix.join(workdir.startsWith('/') ? '/' : workspace, workdir)
  if (Buffer.byteLength(path) > MAX_WORKDIR_BYTES) throw invalid('workdir', `is longer than ${MAX_WORKDIR_BYTES} bytes`)
  return path
}

/** PATH_MAX without its NUL: chdir(2) takes no more. */
const MAX_WORKDIR_BYTES = 4095
