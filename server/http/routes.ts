import { type DescMethod, type DescService, getOption } from '@bufbuild/protobuf'
import { http } from '../../proto/index.ts'

/** How a method of the contract is called over HTTP. */
export interface Route {
  readonly method: DescMethod
  readonly verb: Verb
  /** Of the path: literal, or the name of a field that one name or (`rest`) all that follows is the value of. */
  readonly segments: readonly Segment[]
  readonly body: 'json' | 'contents' | 'none'
}

export type Verb = 'GET' | 'POST' | 'PUT' | 'DELETE'
export type Segment = string | { readonly field: string; readonly rest: boolean }

/** What a request leads to: the method, and what its path says of the fields, as bytes. */
export interface Match {
  readonly route: Route
  readonly fields: ReadonlyMap<string, Buffer>
}

/** Every method has its general place; some have a second one, in the manner of resources. */
function routesOf(services: readonly DescService[]): Route[] {
  return services.flatMap((service) =>
    service.methods.flatMap((method) => {
      const general: Route = { method, verb: 'POST', segments: [service.typeName, method.name], body: bodyOf(method) }
      const option = getOption(method, http)
      return option === '' ? [general] : [routeOf(method, option), general]
    }),
  )
}

function routeOf(method: DescMethod, option: string): Route {
  const [verb, path] = option.split(' ') as [Verb, string]
  const segments = path
    .split('/')
    .slice(1)
    .map((segment): Segment => {
      const field = /^\{(\w+)(=\*\*)?\}$/.exec(segment)
      return field === null ? segment : { field: field[1] ?? '', rest: field[2] !== undefined }
    })
  return { method, verb, segments, body: verb === 'GET' || verb === 'DELETE' ? 'none' : bodyOf(method) }
}

/** A stream of requests is what it begins with, in the path and the query, and contents. */
function bodyOf(method: DescMethod): Route['body'] {
  return method.methodKind === 'client_streaming' ? 'contents' : 'json'
}

export class Routes {
  readonly all: readonly Route[]

  constructor(services: readonly DescService[]) {
    this.all = routesOf(services)
  }

  /** Verbs that a path has, where it has not this one; undefined where nothing is there. */
  find(verb: string, path: string): Match | readonly Verb[] | undefined {
    const verbs = new Set<Verb>()
    for (const route of this.all) {
      const fields = match(route.segments, path)
      if (fields === undefined) continue
      if (route.verb === verb) return { route, fields }
      verbs.add(route.verb)
    }
    return verbs.size === 0 ? undefined : [...verbs]
  }
}

function match(segments: readonly Segment[], path: string): Map<string, Buffer> | undefined {
  const names = path.split('/').slice(1)
  const fields = new Map<string, Buffer>()
  for (const [at, segment] of segments.entries()) {
    const name = names[at]
    if (name === undefined) return undefined
    if (typeof segment === 'string') {
      if (name !== segment) return undefined
    } else if (segment.rest) {
      fields.set(segment.field, percentDecoded(names.slice(at).join('/')))
      return fields
    } else {
      if (name === '') return undefined
      fields.set(segment.field, percentDecoded(name))
    }
  }
  return names.length === segments.length ? fields : undefined
}

/** As OpenAPI has it. */
export function pathText({ segments }: Route): string {
  return `/${segments.map((segment) => (typeof segment === 'string' ? segment : `{${segment.field}}`)).join('/')}`
}

/** As bytes: a path in a view need not be UTF-8. */
export function percentDecoded(text: string): Buffer {
  const parts = text.split(/(%[0-9a-fA-F]{2})/)
  return Buffer.concat(
    parts.map((part) => (/^%[0-9a-fA-F]{2}$/.test(part) ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))),
  )
}
