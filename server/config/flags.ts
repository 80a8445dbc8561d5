import { parseArgs } from 'node:util'
import { ConfigError } from './config-error.ts'

export const USAGE = `Usage: croft serve [options]

Serves codebases and sandboxes over gRPC until it gets SIGTERM or SIGINT.

  --config FILE        settings in YAML; flags weigh more than the environment
                       (CROFT_DATA_DIR, CROFT_LIMITS_PAGE_SIZE_MAX, …), that more than the file
  --data-dir DIR       codebases, deltas and records (default: /var/lib/croft for
                       root, else $XDG_DATA_HOME/croft)
  --socket PATH        unix socket (default: $XDG_RUNTIME_DIR/croft/croft.sock, or
                       /run/croft-0/croft.sock for root)
  --listen [HOST:PORT] also on TCP (default: no; without a value 127.0.0.1:9000)
  --tls-cert FILE, --tls-key FILE
                       TLS on TCP, with this certificate and its key (PEM)
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
`

export interface Flags {
  readonly help: boolean
  readonly version: boolean
  readonly configFile?: string
  /** An open descriptor for the line that says the server is ready. */
  readonly readyFd?: number
  /** In the shape of the file. */
  readonly settings: Record<string, unknown>
}

/** Throws a `ConfigError` naming the flag. `serve` as the first word is allowed. */
export function parseFlags(args: readonly string[]): Flags {
  const { values, positionals } = parse(withListenValue(args))
  const stray = positionals.find((word, index) => index > 0 || word !== 'serve')
  if (stray !== undefined) throw new ConfigError(`unexpected argument \`${stray}\``)

  const settings: Record<string, unknown> = {}
  if (values['data-dir'] !== undefined) settings['dataDir'] = values['data-dir']
  if (values.socket !== undefined) settings['socket'] = values.socket
  if (values.listen !== undefined) settings['listen'] = values.listen
  const tls = { cert: values['tls-cert'], key: values['tls-key'], clientCa: values['tls-client-ca'] }
  const given = Object.entries(tls).filter(([, file]) => file !== undefined)
  if (given.length > 0) settings['tls'] = Object.fromEntries(given)
  if (values['first-token'] !== undefined) settings['firstToken'] = values['first-token']
  if (values['dangerously-let-anyone-in'] === true) settings['dangerouslyLetAnyoneIn'] = true
  if (values['mount-dir'] !== undefined) settings['mountDir'] = values['mount-dir']
  if (values['fs-device'] !== undefined) settings['fs'] = { device: values['fs-device'] }
  if (values.seccomp !== undefined) settings['seccomp'] = values.seccomp
  if (values.network !== undefined) settings['network'] = values.network
  if (values['log-level'] !== undefined) settings['logLevel'] = values['log-level']
  if (values['log-format'] !== undefined) settings['logFormat'] = values['log-format']
  if (values['idle-exit'] !== undefined) settings['idleExitSeconds'] = wholeNumber('--idle-exit', values['idle-exit'])
  if (values.limit !== undefined) settings['limits'] = Object.fromEntries(values.limit.map(limit))

  const readyFd = values['ready-fd'] === undefined ? undefined : wholeNumber('--ready-fd', values['ready-fd'])
  return {
    help: values.help === true,
    version: values.version === true,
    ...(values.config === undefined ? {} : { configFile: values.config }),
    ...(readyFd !== undefined ? { readyFd } : values.json === true ? { readyFd: 1 } : {}),
    settings,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      strict: true,
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        'data-dir': { type: 'string' },
        socket: { type: 'string' },
        listen: { type: 'string' },
        'tls-cert': { type: 'string' },
        'tls-key': { type: 'string' },
        'tls-client-ca': { type: 'string' },
        'first-token': { type: 'string' },
        'dangerously-let-anyone-in': { type: 'boolean' },
        'mount-dir': { type: 'string' },
        'fs-device': { type: 'string' },
        seccomp: { type: 'string' },
        network: { type: 'string' },
        'log-level': { type: 'string' },
        'log-format': { type: 'string' },
        'idle-exit': { type: 'string' },
        limit: { type: 'string', multiple: true },
        json: { type: 'boolean' },
        'ready-fd': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error))
  }
}

/** `--listen` alone means its default, which `parseArgs` cannot say. */
function withListenValue(args: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    const next = args[index + 1]
    return arg === '--listen' && (next === undefined || next.startsWith('-')) ? ['--listen', ''] : [arg]
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
