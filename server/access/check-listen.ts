import { ConfigError } from '../config/config-error.ts'
import type { Config, ListenAddress } from '../config/schema.ts'
import type { Logger } from '../observability/log.ts'
import type { Tokens } from './tokens.ts'

/** Nobody shall find out afterwards that everybody could come in. */
export function checkListen(
  { listen, tls, dangerouslyLetAnyoneIn }: Pick<Config, 'listen' | 'tls' | 'dangerouslyLetAnyoneIn'>,
  { tokens, log }: { tokens: Pick<Tokens, 'any'>; log: Logger },
): void {
  if (listen === undefined) {
    if (tls !== undefined) throw new ConfigError('`tls`: is for `listen`, which is not given')
    return
  }
  const address = `${listen.host}:${listen.port}`
  if (dangerouslyLetAnyoneIn) {
    log.warn({ address }, 'whoever can reach this address owns everything: no token is asked for')
    return
  }
  if (!tokens.any) {
    throw new ConfigError(
      `\`listen\`: there is no token yet, so nobody could use ${address}: give --first-token FILE, or start without ` +
        '--listen and run `croft token create`; --dangerously-let-anyone-in does without tokens',
    )
  }
  if (tls === undefined && !isLoopback(listen)) {
    log.warn(
      { address },
      'tokens can be read on their way to this address: set `tls`, or have a proxy with TLS before it',
    )
  }
}

function isLoopback({ host }: ListenAddress): boolean {
  return host === '::1' || host.startsWith('127.')
}
