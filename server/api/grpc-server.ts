import type { Duplex } from 'node:stream'
import type { DescService } from '@bufbuild/protobuf'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { serviceDefinition } from '../../proto/index.ts'
import type { Door, Gate } from '../access/gate.ts'
import type { Guard } from '../access/guard.ts'
import { implement } from './adapter.ts'
import { Calls, type EndedCall } from './calls.ts'
import type { Handlers } from './handlers.ts'

export interface GrpcOptions {
  readonly maxMessageBytes: number
}

export interface GrpcDependencies {
  readonly gate: Pick<Gate, 'admit'>
  readonly guard: Pick<Guard, 'of'>
  readonly log: Logger
  /** Is told of every call when it is over, before it is answered where that can be. */
  readonly onEnd: (call: EndedCall) => void
}

/**
 * The gRPC side of the server, without its sockets: connections are handed to it, each by the door that it came in at. A
 * door is a server of grpc-js of its own, because that does not tell a handler which connection a call came by.
 */
export class Grpc implements AsyncDisposable {
  readonly calls: Calls
  /** Those that were added. */
  readonly services: DescService[] = []
  readonly #options: GrpcOptions
  readonly #parts: GrpcDependencies
  readonly #services: ((server: GrpcServer, door: Door) => void)[] = []
  readonly #doors = new Map<Door, { server: GrpcServer; accept: (connection: Duplex) => void }>()

  constructor(options: GrpcOptions, dependencies: GrpcDependencies) {
    this.calls = new Calls(dependencies.log, dependencies.onEnd)
    this.#options = options
    this.#parts = dependencies
  }

  /** Before the first door. */
  add<S extends DescService>(service: S, handlers: Handlers<S>): void {
    this.services.push(service)
    const parts = { ...this.#parts, calls: this.calls }
    this.#services.push((server, door) =>
      server.addService(serviceDefinition(service), implement(service, handlers, door, parts)),
    )
  }

  /** What takes the connections that come in by the door. */
  open(door: Door): (connection: Duplex) => void {
    const known = this.#doors.get(door)
    if (known !== undefined) return known.accept
    const { maxMessageBytes } = this.#options
    const server = new GrpcServer({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
      // A connection whose other end is gone without a word is found out and its calls are cancelled.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
    })
    for (const addTo of this.#services) addTo(server, door)
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
    const accept = (connection: Duplex) => injector.injectConnection(connection)
    this.#doors.set(door, { server, accept })
    return accept
  }

  /** Cuts whatever is still open. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { server } of this.#doors.values()) server.forceShutdown()
  }
}
