import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../observability/log.ts'
import type { Tokens } from './tokens.ts'

/**
 * A server that is to listen on TCP from its first start on needs a token before anybody can have asked for one. The
 * file must not exist, so that nobody else has it open, and is this user's alone.
 */
export async function openFirstToken(
  { firstToken: file }: Pick<Config, 'firstToken'>,
  { tokens, log }: { tokens: Tokens; log: Logger },
): Promise<void> {
  if (file === undefined || tokens.any) return
  let fd: number
  try {
    fd = openSync(file, 'wx', 0o600)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`\`firstToken\`: ${why}; there is no token yet, so it must be a new file`, { cause: error })
  }
  try {
    const { record, text } = await tokens.create({ name: 'first', owner: '', role: 'admin' })
    writeSync(fd, `${text}\n`)
    log.info({ token: record.id, file }, 'the first token was made')
  } catch (error) {
    rmSync(file, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}
