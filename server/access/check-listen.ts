import { ConfigError } from '../config/config-error.ts'
import type { Config, ListenAddress } from '../config/schema.ts'
import type { Logger } from '../observability/log.ts'
import type { Tokens } from './tokens.ts'

/** Nobody shall find out afterwards that everybody could come in. */
export function checkListen(
  config: Pick<Config, 'listen' | 'http' | 'tls' | 'dangerouslyLetAnyoneIn'>,
  parts: { tokens: Pick<Tokens, 'any'>; log: Logger },
): void {
  const { listen, http, tls } = config
  if (listen !== undefined) checkAddress('listen', listen, config, parts)
  if (http.listen !== undefined) checkAddress('http.listen', http.listen, config, parts)
  if (tls !== undefined && listen === undefined && http.listen === undefined) {
    throw new ConfigError('`tls`: is for `listen` and `http.listen`, of which none is given')
  }
}

function checkAddress(
  setting: string,
  listen: ListenAddress,
  { tls, dangerouslyLetAnyoneIn }: Pick<Config, 'tls' | 'dangerouslyLetAnyoneIn'>,
  { tokens, log }: { tokens: Pick<Tokens, 'any'>; log: Logger },
): void {
  const address = `${listen.host}:${listen.port}`
  if (dangerouslyLetAnyoneIn) {
    log.warn({ address }, 'whoever can reach this address owns everything: no token is asked for')
    return
  }
  if (!tokens.any) {
    throw new ConfigError(
      `\`${setting}\`: there is no token yet, so nobody could use ${address}: give --first-token FILE, or start without ` +
        'it and run `croft token create`; --dangerously-let-anyone-in does without tokens',
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
