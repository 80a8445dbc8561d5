import { type Command, InvalidArgumentError, Option } from 'commander'
import type { RunOptions } from '../commands.ts'
import { InvalidArgumentError as InvalidOptionError } from '../errors.ts'
import { IMAGE_PULLS, type ImagePull } from '../images.ts'
import type { Rule } from '../rules.ts'
import { RUNTIME_CHOICES, type RuntimeChoice } from '../runtime-names.ts'
import type { SandboxOptions } from '../sandbox-spec.ts'
import { SECCOMP_PROFILES, type SeccompProfile } from '../seccomp-profiles.ts'
import { parseDuration, parseEnvironment, parseLabel, parseList, parseRule } from './arguments.ts'
import { type ResourceFlags, resourcesOf, withResourceFlags } from './resource-flags.ts'

export interface ServerFlags {
  readonly json?: boolean
  readonly server?: string
}

export function withServerFlags(command: Command): Command {
  return command
    .option('--json', 'print one JSON object, errors too')
    .option(
      '--server <url>',
      'unix:///path, host:port or https://host:port, with $CROFT_TOKEN (default: $CROFT_SERVER, else your own server)',
    )
}

export function serverOption(options: ServerFlags): { server?: string } {
  return options.server === undefined ? {} : { server: options.server }
}

export interface SpecFlags extends ServerFlags, ResourceFlags {
  readonly preset?: string
  readonly rule?: readonly Rule[]
  readonly runtime?: RuntimeChoice
  readonly image?: string
  readonly pull?: ImagePull
  readonly seccomp?: SeccompProfile
  readonly allow?: readonly string[]
  readonly network?: 'off' | 'full'
  readonly checkpoint?: 'each-command'
  readonly label?: Readonly<Record<string, string>>
  readonly include?: readonly string[]
  readonly ignore?: readonly string[]
  readonly allFiles?: boolean
}

/** What `run` and `create` have in common: what the sandbox is to be. */
export function withSpecFlags(command: Command): Command {
  return withResourceFlags(withServerFlags(command))
    .option('--preset <name>', 'rules to begin with; see `croft presets`, or "empty" (default: agent-safe)')
    .option('--rule <pattern=level>', 'add a rule: none, view, read or write, @priority; repeatable', parseRule)
    .option('--runtime <name>', `one of ${RUNTIME_CHOICES.join(', ')}; auto is the strongest that works`, parseRuntime)
    .option(
      '--image <name>',
      "what docker and podman make the sandbox of: a name, or docker-archive:/FILE or oci-archive:/FILE on the server's host",
    )
    .addOption(
      new Option('--pull <when>', 'take the image from its registry (default: where it is missing)').choices(
        IMAGE_PULLS,
      ),
    )
    .option('--seccomp <profile>', `which system calls it has: ${SECCOMP_PROFILES.join(', ')}`, parseSeccomp)
    .option(
      '--allow <host>',
      'let programs reach it, by a proxy: host, host:port, *.domain, address (ports 80 and 443 unless named); repeatable',
      parseList,
    )
    .option('--network <mode>', 'off (default), or full: everything but this machine', parseNetwork)
    .option('--checkpoint <when>', 'each-command: keep what it is before each, for croft rollback', parseCheckpoint)
    .option('--label <key=value>', 'repeatable', parseLabel)
    .option('--include <pattern>', 'upload this whole, whatever the ignore files say; repeatable', parseList)
    .option('--ignore <pattern>', 'do not upload this; repeatable', parseList)
    .option('--all-files', 'upload everything, whatever the ignore files say')
}

export function sandboxOptions(
  options: SpecFlags,
): SandboxOptions & { include?: string[]; ignore?: 'none' | string[] } {
  const resources = resourcesOf(options)
  if (options.allow !== undefined && options.network !== undefined) {
    throw new InvalidOptionError('There are --allow and --network', 'network', { remedy: 'Give one of them' })
  }
  const network = options.allow === undefined ? options.network : { allow: options.allow }
  return {
    ...serverOption(options),
    ...(network === undefined ? {} : { network }),
    ...(options.preset === undefined ? {} : { preset: options.preset === 'empty' ? null : options.preset }),
    ...(options.rule === undefined ? {} : { permissions: options.rule }),
    ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
    ...(options.image === undefined ? {} : { image: options.image }),
    ...(options.pull === undefined ? {} : { pull: options.pull }),
    ...(resources === undefined ? {} : { resources }),
    ...(options.seccomp === undefined ? {} : { seccomp: options.seccomp }),
    ...(options.checkpoint === undefined ? {} : { checkpoint: options.checkpoint }),
    ...(options.label === undefined ? {} : { labels: options.label }),
    ...(options.include === undefined ? {} : { include: [...options.include] }),
    ...(options.allFiles === true
      ? { ignore: 'none' as const }
      : options.ignore === undefined
        ? {}
        : { ignore: [...options.ignore] }),
  }
}

export interface ExecFlags {
  readonly command?: string
  readonly env?: Record<string, string>
  readonly cwd?: string
  readonly user?: string
  readonly timeout?: number
}

/** What `run` and `exec` have in common: how the command is run. */
export function withExecFlags(command: Command): Command {
  return command
    .option('-c, --command <line>', 'a line for the shell inside, instead of a program and its arguments')
    .option(
      '-e, --env <key=value>',
      'for the command; repeatable, KEY alone takes the value from here',
      parseEnvironment,
    )
    .option('-w, --cwd <dir>', 'in the view, or absolute inside')
    .option('-u, --user <name>', 'the sandbox has one: croft, or 1000')
    .option('--timeout <time>', 'kill the command after 30s, 5m, 200ms', parseDuration)
}

export function runOptions(options: ExecFlags): Pick<RunOptions, 'env' | 'cwd' | 'user' | 'timeoutMs'> {
  return {
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.user === undefined ? {} : { user: options.user }),
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
  }
}

function parseRuntime(text: string): RuntimeChoice {
  const name = RUNTIME_CHOICES.find((known) => known === text)
  if (name === undefined) throw new InvalidArgumentError(`${JSON.stringify(text)} is no runtime`)
  return name
}

function parseSeccomp(text: string): SeccompProfile {
  const profile = SECCOMP_PROFILES.find((known) => known === text)
  if (profile === undefined) throw new InvalidArgumentError(`it is one of ${SECCOMP_PROFILES.join(', ')}`)
  return profile
}

function parseCheckpoint(text: string): 'each-command' {
  if (text === 'each-command') return text
  throw new InvalidArgumentError('It is each-command')
}

function parseNetwork(text: string): 'off' | 'full' {
  if (text === 'off' || text === 'full') return text
  throw new InvalidArgumentError('It is off or full; for some hosts only there is --allow')
}
