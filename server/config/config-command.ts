import { stringify } from 'yaml'
import { ConfigError } from './config-error.ts'
import { parseFlags } from './flags.ts'
import { loadConfig } from './load.ts'
import type { Surroundings } from './locations.ts'
import { readTls } from './read-tls.ts'
import type { Config, ListenAddress } from './schema.ts'

const CONFIG_USAGE = `Usage: croft config check|print [options of croft serve]

  check  says whether a server would take these settings, and what is wrong with them otherwise
  print  writes all settings in force, as a file of them

Flags weigh more than the environment (CROFT_DATA_DIR, CROFT_LIMITS_PAGE_SIZE_MAX, …), that more than the file of
--config, that more than the defaults, each setting for itself. None of them is a secret: tokens are not among them, and
keys are files.
`

/** What the command prints. Throws a `ConfigError` for settings that cannot be. */
export function configCommand([what, ...args]: readonly string[], surroundings: Surroundings): string {
  if (what === undefined || what === '--help' || what === '-h') return CONFIG_USAGE
  if (what !== 'check' && what !== 'print') {
    throw new ConfigError(`there is no \`croft config ${what}\`: there are check and print`)
  }
  const flags = parseFlags(args)
  if (flags.help) return CONFIG_USAGE
  const { settings, configFile: file } = flags
  const config = loadConfig({ flags: settings, ...(file === undefined ? {} : { file }), ...surroundings })
  if (what === 'print') return stringify(asFile(config))
  readTls(config)
  return 'the settings can be used\n'
}

/** As the file would have it, so that what is printed can be read again. */
function asFile({ listen, http, status, ...config }: Config) {
  return {
    ...config,
    ...(listen === undefined ? {} : { listen: addressText(listen) }),
    status: { ...status, ...(status.listen === undefined ? {} : { listen: addressText(status.listen) }) },
    http: { ...http, ...(http.listen === undefined ? {} : { listen: addressText(http.listen) }) },
  }
}

function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
