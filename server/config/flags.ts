import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError } from './config-error.ts'
import { fromText, putAt, type Settings } from './from-text.ts'
import { meant } from './nearest.ts'
import { SETTINGS } from './settings.ts'

export const USAGE = `Usage: croft serve [options]

Serves codebases and sandboxes over gRPC until it gets SIGTERM or SIGINT.

  --config FILE        settings in YAML; flags weigh more than the environment
                       (CROFT_DATA_DIR, CROFT_LIMITS_PAGE_SIZE_MAX, …), that more than the file
  --data-dir DIR       codebases, deltas and records (default: /var/lib/croft for
                       root, else $XDG_DATA_HOME/croft)
  --socket PATH        unix socket (default: $XDG_RUNTIME_DIR/croft/croft.sock, or
                       /run/croft-0/croft.sock for root)
  --listen [HOST:PORT] also on TCP (default: no; without a value 127.0.0.1:9000)
  --http-listen [HOST:PORT]
                       the same calls over HTTP and JSON (default: no; without a value 127.0.0.1:8080)
  --tls-cert FILE, --tls-key FILE
                       TLS on TCP and HTTP, with this certificate and its key (PEM)
  --tls-client-ca FILE clients must have a certificate of this authority
  --first-token FILE   where there is no token yet, make one for an admin, in this new file
  --dangerously-let-anyone-in
                       whoever reaches the TCP port owns everything: no token is asked for
  --mount-dir DIR      where views are mounted
  --fs-device DEVICE   how: kernel, fuse-native, or auto, which is the first that works (default)
  --seccomp PROFILE    which system calls sandboxes have: strict, default (default) or off; a
                       request may ask for a stricter one, never for a looser one
  --network MODE       the most that a sandbox may be given: off, allow-list or full (default)
  --log-level LEVEL    trace, debug, info, warn, error, fatal, silent (default: info)
  --log-format FORMAT  json or text (default: json)
  --idle-exit SECONDS  end when no client was connected and no sandbox ran for so long
  --limit NAME=NUMBER  one of the limits, as in the file under "limits"; repeatable
  --json               print one line of JSON on stdout when ready
  --ready-fd N         print it to this open descriptor instead
  --help, --version

Every other setting of the file is a flag too, named as its path: --host-uids-first 200000,
--docker-socket PATH. "croft config print" shows the settings in force, "croft config check" what
is wrong with them.
`

export interface Flags {
  readonly help: boolean
  readonly version: boolean
  readonly configFile?: string
  /** An open descriptor for the line that says the server is ready. */
  readonly readyFd?: number
  /** In the shape of the file. */
  readonly settings: Settings
}

/** Throws a `ConfigError` naming the flag. `serve` as the first word is allowed. */
export function parseFlags(args: readonly string[]): Flags {
  const { values, positionals } = parse(withListenValue(args))
  const stray = positionals.find((word, index) => index > 0 || word !== 'serve')
  if (stray !== undefined) throw new ConfigError(`unexpected argument \`${stray}\``)

  const settings: Settings = {}
  for (const { flag, path, kind } of SETTINGS) {
    const value = values[flag]
    if (typeof value === 'boolean') putAt(settings, path, value)
    // Typed where one stands; a file and the environment are read elsewhere than they were written.
    else if (typeof value === 'string' && kind === 'path') putAt(settings, path, resolve(value))
    else if (typeof value === 'string') putAt(settings, path, fromText(value, kind, `--${flag}`))
  }
  if (typeof values['idle-exit'] === 'string') {
    settings['idleExitSeconds'] = wholeNumber('--idle-exit', values['idle-exit'])
  }
  for (const [name, value] of ((values['limit'] ?? []) as string[]).map(limit)) putAt(settings, ['limits', name], value)

  const readyFd = typeof values['ready-fd'] === 'string' ? wholeNumber('--ready-fd', values['ready-fd']) : undefined
  return {
    help: values['help'] === true,
    version: values['version'] === true,
    ...(typeof values['config'] === 'string' ? { configFile: values['config'] } : {}),
    ...(readyFd !== undefined ? { readyFd } : values['json'] === true ? { readyFd: 1 } : {}),
    settings,
  }
}

type Options = NonNullable<Parameters<typeof parseArgs>[0]>['options']

/** One for each setting, and those that are none. */
const OPTIONS: NonNullable<Options> = {
  ...Object.fromEntries(
    SETTINGS.map(({ flag, kind }) => [flag, { type: kind === 'switch' ? ('boolean' as const) : ('string' as const) }]),
  ),
  config: { type: 'string' },
  'idle-exit': { type: 'string' },
  limit: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  'ready-fd': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, strict: true, allowPositionals: true, options: OPTIONS })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const unknown = /^Unknown option '--([^']+)'/.exec(message)?.[1]
    if (unknown === undefined) throw new ConfigError(message)
    const remedy = meant(unknown, Object.keys(OPTIONS), (flag) => `--${flag}`)
    throw new ConfigError(`unknown option --${unknown}${remedy}`)
  }
}

const ADDRESSES = ['--listen', '--http-listen']

/** `--listen` and `--http-listen` alone mean their defaults, which `parseArgs` cannot say. */
function withListenValue(args: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    const next = args[index + 1]
    const alone = ADDRESSES.includes(arg) && (next === undefined || next.startsWith('-'))
    return alone ? [arg, ''] : [arg]
  })
}

function limit(text: string): [string, number] {
  const at = text.indexOf('=')
  if (at <= 0) throw new ConfigError(`--limit \`${text}\` is not NAME=NUMBER`)
  const name = text.slice(0, at)
  return [name, wholeNumber(`--limit ${name}`, text.slice(at + 1))]
}

function wholeNumber(flag: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError(`${flag} \`${text}\` is not a whole number`)
  return Number(text)
}
