import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf'
import { invalid } from '../errors/croft-error.ts'
import type { Match } from './routes.ts'

/** The fields that a path and a query name, as one would write them in JSON. Throws INVALID_ARGUMENT naming the field. */
function jsonOfFields(schema: DescMessage, path: ReadonlyMap<string, Buffer>, query: URLSearchParams): JsonObject {
  const json: JsonObject = {}
  for (const [name, value] of path) put(json, schema, [name], [value])
  for (const name of new Set(query.keys())) {
    const values = query.getAll(name).map((text) => Buffer.from(text))
    put(json, schema, name.split('.'), values)
  }
  return json
}

function put(into: JsonObject, schema: DescMessage, names: readonly string[], values: readonly Buffer[]): void {
  const [name = '', ...below] = names
  const field = schema.fields.find((each) => each.name === name || each.jsonName === name)
  if (field === undefined) throw invalid(name, `is no field of ${schema.name}`)
  if (below.length > 0) {
    if (field.fieldKind !== 'message') throw invalid(name, 'has no fields of its own')
    into[field.jsonName] ??= {}
    put(into[field.jsonName] as JsonObject, field.message, below, values)
    return
  }
  if (field.fieldKind === 'list') into[field.jsonName] = values.map((value) => one(field, value))
  else if (values.length === 1 && values[0] !== undefined) into[field.jsonName] = one(field, values[0])
  else throw invalid(name, 'is there more than once')
}

function one(field: DescField, value: Buffer): JsonValue {
  const scalar = field.fieldKind === 'scalar' || field.fieldKind === 'list' ? field.scalar : undefined
  if (scalar === ScalarType.BYTES) return value.toString('base64')
  const text = value.toString('utf8')
  if (scalar !== ScalarType.BOOL) return text
  if (text !== 'true' && text !== 'false') throw invalid(field.name, 'must be true or false')
  return text === 'true'
}

/** The request of a method that takes one. Throws INVALID_ARGUMENT. */
export function requestOf({ route, fields }: Match, query: URLSearchParams, body: Buffer): Message {
  const { input } = route.method
  const named = jsonOfFields(input, fields, query)
  return parsed(input, { ...(route.body === 'json' ? objectOf(body) : {}), ...named })
}

/** What a stream of requests begins with, and how its contents follow; `length` is what the headers say of them. */
export function contentsOf(
  method: DescMethod,
  path: ReadonlyMap<string, Buffer>,
  query: URLSearchParams,
  length: string | undefined,
): { first: Message; piece: (data: Uint8Array) => Message } {
  const parts = partsOf(method)
  if (parts === undefined) throw new Error(`${method.name} is no stream of contents`)
  const { start, data, oneof } = parts
  const named = jsonOfFields(start.message, path, query)
  if (length !== undefined && start.message.field['totalSize'] !== undefined) named['totalSize'] ??= length
  const json = { [start.jsonName]: named }
  const first = parsed(method.input, json)
  const piece = (value: Uint8Array) => create(method.input, { [oneof.localName]: { case: data.localName, value } })
  return { first, piece }
}

/** Whether HTTP can say it: one body there, one body or a stream of events back. */
export function isCallable(method: DescMethod): boolean {
  if (method.methodKind === 'client_streaming') return partsOf(method) !== undefined
  return method.methodKind !== 'bidi_streaming'
}

/** Of the two kinds of message that a stream of contents has. */
function partsOf(method: DescMethod) {
  const start = method.input.fields.find((field) => field.fieldKind === 'message')
  const data = method.input.fields.find(isBytes)
  return start?.fieldKind === 'message' && data?.oneof !== undefined ? { start, data, oneof: data.oneof } : undefined
}

/** Whether its answers are the pieces of one body: a single field of bytes. */
export function answersContents(method: DescMethod): DescField | undefined {
  const [field, ...more] = method.output.fields
  return method.methodKind === 'server_streaming' && more.length === 0 && field !== undefined && isBytes(field)
    ? field
    : undefined
}

function isBytes(field: DescField): boolean {
  return field.fieldKind === 'scalar' && field.scalar === ScalarType.BYTES
}

function objectOf(body: Buffer): JsonObject {
  if (body.length === 0) return {}
  let value: JsonValue
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as JsonValue
  } catch (error) {
    throw invalid('body', `is no JSON: ${error instanceof Error ? error.message : String(error)}`, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('body', 'must be an object')
  return value
}

function parsed(schema: DescMessage, json: JsonObject): Message {
  try {
    return fromJson(schema, json)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw invalid('request', `is no ${schema.name}: ${why}`, error)
  }
}

export function jsonOf(schema: DescMessage, message: Message): string {
  return JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true }))
}
