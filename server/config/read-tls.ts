import { readFileSync } from 'node:fs'
import { ConfigError } from './config-error.ts'
import type { Config } from './schema.ts'

/** The files of `tls`. Throws a `ConfigError` naming the one that cannot be read. */
export function readTls({ tls }: Pick<Config, 'tls'>) {
  if (tls === undefined) return undefined
  const { cert, key, clientCa } = tls
  return {
    cert: read(cert, 'cert'),
    key: read(key, 'key'),
    ...(clientCa === undefined ? {} : { clientCa: read(clientCa, 'clientCa') }),
  }
}

function read(file: string, name: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`\`tls.${name}\`: ${why}`, { cause: error })
  }
}
