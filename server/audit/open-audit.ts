import type { Undo } from '../concurrency/undo.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../observability/log.ts'
import { AuditLog } from './audit-log.ts'

/** With a first line that says a server began, and a last one that it ended. */
export function openAudit(
  { audit: { file, ...options } }: Pick<Config, 'audit'>,
  { nowMs, log, undo }: { nowMs: () => number; log: Logger; undo: Undo },
): AuditLog | undefined {
  if (file === undefined) return undefined
  const audit = AuditLog.open({ ...options, file }, { nowMs, log })
  audit.write({ event: 'the server began', pid: process.pid })
  log.info({ file, ...audit.head }, 'the audit log begins here')
  undo.add(async () => {
    audit.write({ event: 'the server ended', pid: process.pid })
    await audit.sync()
    log.info({ file, ...audit.head }, 'the audit log ends here')
    audit[Symbol.dispose]()
  })
  return audit
}
