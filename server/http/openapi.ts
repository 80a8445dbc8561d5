import { type DescEnum, type DescField, type DescMessage, type JsonObject, ScalarType } from '@bufbuild/protobuf'
import { pathText, type Route } from './routes.ts'
import { answersContents, isCallable } from './transcode.ts'

/** OpenAPI 3.1 of all routes, from the descriptors of their methods. */
export function openApi(routes: readonly Route[]): JsonObject {
  const schemas = new Schemas()
  const paths: Record<string, JsonObject> = {}
  for (const route of routes) {
    if (!isCallable(route.method)) continue
    const path = pathText(route)
    paths[path] = { ...paths[path], [route.verb.toLowerCase()]: operation(route, schemas) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Croft', version: 'sandbox.v1', description: 'The calls of sandbox.v1 over HTTP.' },
    security: [{ token: [] }, {}],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: schemas.all(),
    },
  }
}

function operation(route: Route, schemas: Schemas): JsonObject {
  const { method } = route
  const general = route.segments[0] === method.parent.typeName
  const inPath = new Set(route.segments.flatMap((segment) => (typeof segment === 'string' ? [] : [segment.field])))
  const begins = route.body === 'contents' ? startOf(method.input) : method.input
  const parameters = begins.fields
    .filter((field) => inPath.has(field.name) || (route.body !== 'json' && isSimple(field)))
    .map((field) => parameter(field, inPath.has(field.name), schemas))
  return {
    operationId: `${method.parent.name}_${method.name}${general ? '' : '_resource'}`,
    tags: [method.parent.name],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === 'none' ? {} : { requestBody: requestBody(route, schemas) }),
    responses: {
      '200': { description: 'Success.', content: answer(route, schemas) },
      default: { description: 'Anything else.', content: json(schemas.status()) },
    },
  }
}

function requestBody(route: Route, schemas: Schemas): JsonObject {
  if (route.body === 'contents') return { content: OCTETS }
  return { content: json(schemas.of(route.method.input)) }
}

function answer({ method }: Route, schemas: Schemas): JsonObject {
  if (answersContents(method) !== undefined) return OCTETS
  return method.methodKind === 'server_streaming' ? EVENTS : json(schemas.of(method.output))
}

/** OpenAPI 3.1 has no way to say what an event holds. */
const EVENTS: JsonObject = { 'text/event-stream': { schema: { type: 'string' } } }
const OCTETS: JsonObject = { 'application/octet-stream': {} }

function json(schema: JsonObject): JsonObject {
  return { 'application/json': { schema } }
}

function startOf(input: DescMessage): DescMessage {
  const start = input.fields.find((field) => field.fieldKind === 'message')
  return start?.fieldKind === 'message' ? start.message : input
}

/** What a query can say. */
function isSimple(field: DescField): boolean {
  return field.fieldKind === 'scalar' || field.fieldKind === 'enum'
}

function parameter(field: DescField, inPath: boolean, schemas: Schemas): JsonObject {
  const isBytes = field.fieldKind === 'scalar' && field.scalar === ScalarType.BYTES
  return {
    name: field.name,
    in: inPath ? 'path' : 'query',
    ...(inPath ? { required: true } : {}),
    // In a path and a query bytes stand as they are, percent-encoded.
    schema: isBytes ? { type: 'string' } : schemas.ofField(field),
  }
}

const SCALARS: Readonly<Record<number, JsonObject>> = {
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
  [ScalarType.INT32]: { type: 'integer', format: 'int32' },
  [ScalarType.UINT32]: { type: 'integer', minimum: 0 },
  [ScalarType.DOUBLE]: { type: 'number', format: 'double' },
  [ScalarType.FLOAT]: { type: 'number', format: 'float' },
}
/** Of 64 bits: more than a number of JSON is safe for. */
const DECIMAL: JsonObject = { type: 'string', pattern: '^-?[0-9]+$' }
const WELL_KNOWN: Readonly<Record<string, JsonObject>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]+)?s$' },
}

/** The schemas that were asked for, each under its name once. */
class Schemas {
  readonly #schemas = new Map<string, JsonObject>()

  all(): JsonObject {
    return Object.fromEntries([...this.#schemas].sort(([one], [other]) => (one < other ? -1 : 1)))
  }

  of(message: DescMessage): JsonObject {
    const known = WELL_KNOWN[message.typeName]
    if (known !== undefined) return known
    const name = message.typeName.replace(/^sandbox\.v1\./, '')
    if (!this.#schemas.has(name)) {
      // Before its fields, for a message may hold itself.
      this.#schemas.set(name, {})
      const properties = message.fields.map((field) => [field.jsonName, this.ofField(field)])
      this.#schemas.set(name, {
        type: 'object',
        properties: Object.fromEntries(properties),
        additionalProperties: false,
      })
    }
    return { $ref: `#/components/schemas/${name}` }
  }

  /** google.rpc.Status */
  status(): JsonObject {
    const details = { type: 'array', items: { type: 'object', properties: { '@type': { type: 'string' } } } }
    const properties = { code: { type: 'integer' }, message: { type: 'string' }, details }
    this.#schemas.set('Status', { type: 'object', properties, required: ['code', 'message'] })
    return { $ref: '#/components/schemas/Status' }
  }

  ofField(field: DescField): JsonObject {
    switch (field.fieldKind) {
      case 'scalar':
        return SCALARS[field.scalar] ?? DECIMAL
      case 'enum':
        return this.#ofEnum(field.enum)
      case 'message':
        return this.of(field.message)
      case 'map':
        return { type: 'object', additionalProperties: this.#ofItem(field) }
      case 'list':
        return { type: 'array', items: this.#ofItem(field) }
    }
  }

  #ofItem(field: DescField & { fieldKind: 'map' | 'list' }): JsonObject {
    if (field.message !== undefined) return this.of(field.message)
    if (field.enum !== undefined) return this.#ofEnum(field.enum)
    return SCALARS[field.scalar] ?? DECIMAL
  }

  #ofEnum(each: DescEnum): JsonObject {
    return { type: 'string', enum: each.values.map((value) => value.name) }
  }
}
