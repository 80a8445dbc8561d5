import type { ExitStatus } from '../../runtimes/contract/agent.ts'
import type { Running } from '../sandboxes/running.ts'

/**
 * From now on. One that succeeded was not killed, and needs no look; of several that failed at the same time it
 * cannot be told whose process it was. A sandbox that has ended meanwhile has no count any more.
 */
export function watchOom({ parts: { launched } }: Running): (status: Pick<ExitStatus, 'code'>) => boolean {
  const before = launched.oomKills() ?? 0
  return ({ code }) => code !== 0 && (launched.oomKills() ?? 0) > before
}
