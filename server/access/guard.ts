import type { DescMethod } from '@bufbuild/protobuf'
import { CroftError, notFound, printable } from '../errors/croft-error.ts'
import { isId } from '../records/ids.ts'
import { type Caller, sees } from './caller.ts'
import { type Decision, decisionOf, type Need } from './decisions.ts'
import { type OwnedKind, type OwnedRecords, ownerOf } from './owner-of.ts'
import { type RequestIds, requestIds } from './request-ids.ts'

export interface GuardDependencies {
  readonly records: OwnedRecords
  /** Throws RESOURCE_EXHAUSTED. */
  readonly countCommand: (owner: string) => void
}

export interface Checked {
  readonly need: Need
  readonly ids: readonly string[]
}

/** Of the ids of one request. */
const MAX_NOTED = 100

/** Looks at one message of a call before its handler does. Throws what the call is then answered with. */
export type Check = (request: object, caller: Caller, note: (checked: Checked) => void) => void

/**
 * The one place that decides who may do what with whose. To whom a thing does not belong, it does not exist: that is
 * answered here, for what there is and for what there is not, in the same words and by the same steps.
 */
export class Guard {
  readonly #parts: GuardDependencies

  constructor(dependencies: GuardDependencies) {
    this.#parts = dependencies
  }

  /** Throws where nothing is decided about the method. */
  of(method: DescMethod): Check {
    const decision = decisionOf(method)
    const idsOf = requestIds(method.input)
    return (request, caller, note) => {
      const need = typeof decision.needs === 'function' ? decision.needs(request as never) : decision.needs
      const ids = idsOf(request)
      note({
        need,
        ids: [...ids.owned.map(({ id }) => id), ...ids.others].slice(0, MAX_NOTED).map((id) => printable(id)),
      })
      checkRole(need, caller, method.name)
      checkOwners(ids, decision, caller)
      if (caller.role !== 'admin' && decision.filters !== true) this.#checkOwned(ids, caller)
      if (decision.starts !== undefined) this.#countCommand(ids, caller)
    }
  }

  #checkOwned({ owned }: RequestIds, caller: Caller): void {
    for (const { kind, id } of owned) {
      // What is no id is nobody's; the handler says what is wrong with it, and with which field.
      if (!isId(kind, id)) continue
      const owner = ownerOf(kind, id, this.#parts.records)
      if (owner === undefined || !sees(caller, owner)) throw notFound(NAMES[kind], id)
    }
  }

  /** To the owner of the sandbox, whoever the caller is. Later messages of a stream name none. */
  #countCommand({ owned }: RequestIds, caller: Caller): void {
    const [subject] = owned
    if (subject === undefined) return
    this.#parts.countCommand(ownerOf(subject.kind, subject.id, this.#parts.records) ?? caller.owner)
  }
}

const NAMES = { cb: 'codebase', sb: 'sandbox', sess: 'session', snap: 'snapshot' } as const satisfies Record<
  OwnedKind,
  string
>

const MAY: Readonly<Record<Caller['role'], ReadonlySet<Need>>> = {
  'read-only': new Set(['nothing', 'read']),
  user: new Set(['nothing', 'read', 'write']),
  admin: new Set(['nothing', 'read', 'write', 'admin']),
}

function checkRole(need: Need, { role }: Caller, method: string): void {
  if (MAY[role].has(need)) return
  const who = need === 'admin' ? 'an admin' : 'an admin or a user'
  throw new CroftError('PERMISSION_DENIED', `${method} is for ${who}, and this caller is ${ROLES[role]}`, {
    reason: 'role',
  })
}

const ROLES: Readonly<Record<Caller['role'], string>> = {
  'read-only': 'read-only',
  user: 'a user',
  admin: 'an admin',
}

/** Who names no owner means himself. In a list of another's there is nothing, and that is no error. */
function checkOwners({ owners }: RequestIds, { filters }: Decision, { owner, role }: Caller): void {
  for (const message of owners) {
    if (message.ownerId === '') {
      if (role !== 'admin' || filters !== true) message.ownerId = owner
    } else if (role !== 'admin' && message.ownerId !== owner && filters !== true) {
      throw new CroftError('PERMISSION_DENIED', `owner_id must be ${owner}, or be left out`, {
        field: 'owner_id',
        reason: 'owner',
      })
    }
  }
}
