import type { DescMessage, DescService, MessageShape } from '@bufbuild/protobuf'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

/**
 * What grpc-js needs to serve or call a service, from its descriptor; one definition for both ends. Methods
 * are keyed by their local names (`createSandbox`).
 */
export function serviceDefinition(service: DescService): ServiceDefinition {
  const methods = service.methods.map((method): [string, MethodDefinition<object, object>] => [
    method.localName,
    {
      path: `/${service.typeName}/${method.name}`,
      originalName: method.localName,
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: serializer(method.input),
      requestDeserialize: parser(method.input),
      responseSerialize: serializer(method.output),
      responseDeserialize: parser(method.output),
    },
  ])
  return Object.fromEntries(methods)
}

function serializer(schema: DescMessage): (message: object) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message as MessageShape<DescMessage>)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

function parser(schema: DescMessage): (bytes: Buffer) => object {
  return (bytes) => fromBinary(schema, bytes)
}
