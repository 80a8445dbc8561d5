import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { Logger } from 'pino'
import type { Caller } from '../access/caller.ts'

/** One function for each method of a service, with the types of its messages. */
export type Handlers<S extends { method: object }> = { readonly [K in keyof S['method']]: Handler<S['method'][K]> }

export type Handler<M> = M extends {
  methodKind: infer Kind
  input: infer I extends DescMessage
  output: infer O extends DescMessage
}
  ? Kind extends 'unary'
    ? (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>
    : Kind extends 'server_streaming'
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>
      : Kind extends 'client_streaming'
        ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => Promise<MessageInitShape<O>>
        : (requests: AsyncIterable<MessageShape<I>>, call: Call) => AsyncIterable<MessageInitShape<O>>
  : never

/** What a handler knows of its call beside the request. */
export interface Call {
  /** Aborts when the client gives up, its deadline passes, or the server stops. The reason says which. */
  readonly signal: AbortSignal
  readonly caller: Caller
  /** Names the call in the log. */
  readonly id: string
  readonly log: Logger
}
