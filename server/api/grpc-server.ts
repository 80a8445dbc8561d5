import type { Duplex } from 'node:stream'
import type { DescService } from '@bufbuild/protobuf'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { serviceDefinition } from '../../proto/index.ts'
import { implement } from './adapter.ts'
import { Calls } from './calls.ts'
import type { Handlers } from './handlers.ts'

export interface GrpcOptions {
  readonly maxMessageBytes: number
}

/** The gRPC side of the server, without its sockets: connections are handed to it. */
export class Grpc implements AsyncDisposable {
  readonly calls: Calls
  readonly #server: GrpcServer
  #accept: ((connection: Duplex) => void) | undefined

  constructor(options: GrpcOptions, log: Logger) {
    this.calls = new Calls(log)
    this.#server = new GrpcServer({
      'grpc.max_receive_message_length': options.maxMessageBytes,
      'grpc.max_send_message_length': options.maxMessageBytes,
      // A connection whose other end is gone without a word is found out and its calls are cancelled.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
    })
  }

  add<S extends DescService>(service: S, handlers: Handlers<S>): void {
    this.#server.addService(serviceDefinition(service), implement(service, handlers, this.calls))
  }

  accept(connection: Duplex): void {
    if (this.#accept === undefined) {
      const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
      this.#accept = (one) => injector.injectConnection(one)
    }
    this.#accept(connection)
  }

  /** Cuts whatever is still open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown()
  }
}
