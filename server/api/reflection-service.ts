import { createRegistry, type DescFile, type DescService, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import type { ServerReflection, ServerReflectionRequest, ServerReflectionResponseSchema } from '../../proto/index.ts'
import type { Handlers } from './handlers.ts'

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>

/** The descriptors that the server itself runs by, for tools without .proto files. */
export function reflectionService(services: () => readonly DescService[]): Handlers<typeof ServerReflection> {
  return {
    async *serverReflectionInfo(requests) {
      const served = services()
      const files = filesOf(served)
      for await (const request of requests) {
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answerTo(request, served, files),
        }
      }
    },
  }
}

/** By name, those that they build on among them. */
function filesOf(services: readonly DescService[]): ReadonlyMap<string, DescFile> {
  const files = new Map<string, DescFile>()
  const add = (file: DescFile): void => {
    if (files.has(file.proto.name)) return
    files.set(file.proto.name, file)
    file.dependencies.forEach(add)
  }
  for (const { file } of services) add(file)
  return files
}

function answerTo(
  { messageRequest: asked }: ServerReflectionRequest,
  services: readonly DescService[],
  files: ReadonlyMap<string, DescFile>,
): Answer {
  switch (asked.case) {
    case 'listServices': {
      const service = services.map(({ typeName: name }) => ({ name }))
      return { case: 'listServicesResponse', value: { service } }
    }
    case 'fileByFilename':
      return fileAnswer(files.get(asked.value))
    case 'fileContainingSymbol':
      return fileAnswer(fileOfSymbol(asked.value, files))
    case 'allExtensionNumbersOfType':
      return { case: 'allExtensionNumbersResponse', value: { baseTypeName: asked.value } }
    case 'fileContainingExtension':
      return fileAnswer(undefined)
    case undefined:
      return error(status.INVALID_ARGUMENT, 'message_request is missing')
  }
}

/** Of a method, a field or a value of an enum it is the file of what that is in. */
function fileOfSymbol(symbol: string, files: ReadonlyMap<string, DescFile>): DescFile | undefined {
  const registry = createRegistry(...files.values())
  for (let name = symbol; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    const found = registry.getMessage(name) ?? registry.getEnum(name) ?? registry.getService(name)
    if (found !== undefined) return found.file
  }
  return undefined
}

function fileAnswer(file: DescFile | undefined): Answer {
  if (file === undefined) return error(status.NOT_FOUND, 'there is none')
  const seen = new Set<DescFile>()
  const all: DescFile[] = []
  const add = (each: DescFile): void => {
    if (seen.has(each)) return
    seen.add(each)
    each.dependencies.forEach(add)
    all.push(each)
  }
  add(file)
  // The one that was asked for first, and each before those that it builds on.
  const fileDescriptorProto = all.reverse().map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto))
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } }
}

function error(errorCode: number, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } }
}
