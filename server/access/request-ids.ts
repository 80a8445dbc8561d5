import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf'
import type { OwnedKind } from './owner-of.ts'

/** What a request names. */
export interface RequestIds {
  /** In the order of their fields. Empty ones are left out. */
  readonly owned: { readonly kind: OwnedKind; readonly id: string }[]
  /** Of things that are found by way of others, or by admins only. */
  readonly others: string[]
  /** Messages with a field `owner_id`, to read it and to fill it in. */
  readonly owners: { ownerId: string }[]
}

/** By the name of the field. */
export const KINDS: Readonly<Record<string, OwnedKind>> = {
  codebase_id: 'cb',
  sandbox_id: 'sb',
  session_id: 'sess',
  snapshot_id: 'snap',
}

/** A command and a checkpoint are found within their sandbox, a token and an export job by admins only. */
const WITHOUT_OWNER: ReadonlySet<string> = new Set(['command_id', 'checkpoint_id', 'token_id', 'job_id'])

type Values = Readonly<Record<string, unknown>>
type Visit = (message: Values, found: RequestIds) => void

/**
 * How to find the ids in requests of a type, from its descriptor: a field that is added is looked at without anybody
 * having to think of it. Throws for a field that is called an id and is none that is known.
 */
export function requestIds(type: DescMessage): (request: object) => RequestIds {
  const visit = visitorOf(type, new Map())
  return (request) => {
    const found: RequestIds = { owned: [], others: [], owners: [] }
    visit?.(request as Values, found)
    return found
  }
}

/** `undefined`: no id can be in such a message. */
function visitorOf(type: DescMessage, known: Map<string, Visit | undefined>): Visit | undefined {
  if (known.has(type.typeName)) return known.get(type.typeName)
  // For a type within itself, of which there is none yet: what it would find is found by the outer one.
  known.set(type.typeName, undefined)
  const visits = type.fields.flatMap((field) => visitOf(field, known) ?? [])
  const visit: Visit | undefined =
    visits.length === 0 ? undefined : (message, found) => visits.forEach((each) => each(message, found))
  known.set(type.typeName, visit)
  return visit
}

function visitOf(field: DescField, known: Map<string, Visit | undefined>): Visit | undefined {
  const inner = field.message === undefined ? visitorOfName(field) : visitorOf(field.message, known)
  if (inner === undefined) return undefined
  return (message, found) => {
    const value = readField(message, field)
    if (value === undefined) return
    if (field.message === undefined) inner(message, found)
    else for (const each of Array.isArray(value) ? value : [value]) inner(each as Values, found)
  }
}

function visitorOfName(field: DescField): Visit | undefined {
  if (field.scalar !== ScalarType.STRING || !/_ids?$/.test(field.name)) return undefined
  if (WITHOUT_OWNER.has(field.name))
    return (message, found) => void found.others.push(String(readField(message, field)))
  if (field.name === 'owner_id') return (message, found) => found.owners.push(message as { ownerId: string })
  const kind = KINDS[field.name.replace(/_ids$/, '_id')]
  if (kind === undefined) throw new Error(`whose ${field.parent.typeName}.${field.name} is, is not decided`)
  return (message, found) => {
    const value = readField(message, field)
    for (const id of Array.isArray(value) ? value : [value]) {
      if (typeof id === 'string' && id !== '') found.owned.push({ kind, id })
    }
  }
}

function readField(message: Values, field: DescField): unknown {
  if (field.oneof === undefined) return message[field.localName]
  const choice = message[field.oneof.localName] as { case: string | undefined; value?: unknown }
  return choice.case === field.localName ? choice.value : undefined
}
