import type { EndedCall } from '../api/calls.ts'
import type { AuditLog } from './audit-log.ts'

/** Answers that say somebody tried what is not his. */
const REFUSALS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'PERMISSION_DENIED'])

/** Every call that may have changed something, and every one that was refused for who made it. */
export function auditCalls(audit: AuditLog): (call: EndedCall) => void {
  return ({ id, method, need, caller, from, ids, made, code, reason }) => {
    if ((need === 'read' || need === 'nothing') && !REFUSALS.has(code)) return
    audit.write({
      who: caller?.name ?? 'nobody',
      ...(caller === undefined ? {} : { owner: caller.owner, role: caller.role }),
      from,
      call: id,
      method: `${method.parent.name}.${method.name}`,
      ids,
      ...(made === undefined ? {} : { made }),
      code,
      ...(reason === undefined ? {} : { reason }),
    })
  }
}
