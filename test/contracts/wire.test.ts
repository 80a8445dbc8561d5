import type { DescEnum, DescField, DescMessage, DescService } from '@bufbuild/protobuf'
import { ScalarType } from '@bufbuild/protobuf'
import { describe, expect, test } from 'vitest'
import * as wire from '../../proto/index.ts'

/**
 * Wire v1, written down once more by hand: clients that were generated from it years ago still call us. A line
 * here is never changed, only added to.
 */
const messages: Record<string, Record<string, string>> = {
  PermissionRule: { pattern: '1 string', type: '2 PatternType', permission: '3 Permission', priority: '4 int32' },
  Empty: {},
  Codebase: {
    id: '1 string',
    name: '2 string',
    owner_id: '3 string',
    size: '4 int64',
    file_count: '5 int32',
    created_at: '6 Timestamp',
    updated_at: '7 Timestamp',
  },
  CreateCodebaseRequest: { name: '1 string', owner_id: '2 string' },
  GetCodebaseRequest: { codebase_id: '1 string' },
  ListCodebasesRequest: { owner_id: '1 string', page_size: '2 int32', page_token: '3 string' },
  ListCodebasesResponse: { codebases: '1 repeated Codebase', next_page_token: '2 string' },
  DeleteCodebaseRequest: { codebase_id: '1 string' },
  UploadChunk: { metadata: '1 UploadChunk.Metadata oneof content', data: '2 bytes oneof content' },
  'UploadChunk.Metadata': { codebase_id: '1 string', file_path: '2 string', total_size: '3 int64' },
  UploadResult: { codebase_id: '1 string', file_path: '2 string', size: '3 int64', checksum: '4 string' },
  DownloadFileRequest: { codebase_id: '1 string', file_path: '2 string' },
  FileChunk: { data: '1 bytes' },
  ListFilesRequest: { codebase_id: '1 string', path: '2 string', recursive: '3 bool' },
  ListFilesResponse: { files: '1 repeated FileInfo' },
  FileInfo: { path: '1 string', name: '2 string', is_dir: '3 bool', size: '4 int64', modified_at: '5 Timestamp' },
  ResourceLimits: { memory_bytes: '1 int64', cpu_quota: '2 int64', cpu_shares: '3 int64', pids_limit: '4 int64' },
  Sandbox: {
    id: '1 string',
    codebase_id: '2 string',
    permissions: '3 repeated PermissionRule',
    status: '4 SandboxStatus',
    labels: '5 map<string, string>',
    created_at: '6 Timestamp',
    started_at: '7 Timestamp',
    stopped_at: '8 Timestamp',
    expires_at: '9 Timestamp',
    runtime: '10 RuntimeType',
    image: '11 string',
    resources: '12 ResourceLimits',
  },
  CreateSandboxRequest: {
    codebase_id: '1 string',
    permissions: '2 repeated PermissionRule',
    expires_in: '3 Duration',
    labels: '4 map<string, string>',
    runtime: '5 RuntimeType',
    image: '6 string',
    resources: '7 ResourceLimits',
  },
  GetSandboxRequest: { sandbox_id: '1 string' },
  StartSandboxRequest: { sandbox_id: '1 string' },
  StopSandboxRequest: { sandbox_id: '1 string' },
  DestroySandboxRequest: { sandbox_id: '1 string' },
  ListSandboxesRequest: { codebase_id: '1 string', page_size: '2 int32', page_token: '3 string' },
  ListSandboxesResponse: { sandboxes: '1 repeated Sandbox', next_page_token: '2 string' },
  ExecRequest: {
    sandbox_id: '1 string',
    command: '2 string',
    stdin: '3 string',
    env: '4 map<string, string>',
    workdir: '5 string',
    timeout: '6 Duration',
  },
  ExecResult: { stdout: '1 string', stderr: '2 string', exit_code: '3 int32', duration: '4 Duration' },
  ExecOutput: { type: '1 ExecOutput.OutputType', data: '2 bytes' },
  Session: {
    id: '1 string',
    sandbox_id: '2 string',
    status: '3 SessionStatus',
    shell: '4 string',
    created_at: '5 Timestamp',
    closed_at: '6 Timestamp',
  },
  CreateSessionRequest: { sandbox_id: '1 string', shell: '2 string', env: '3 map<string, string>' },
  GetSessionRequest: { session_id: '1 string' },
  DestroySessionRequest: { session_id: '1 string' },
  ListSessionsRequest: { sandbox_id: '1 string' },
  ListSessionsResponse: { sessions: '1 repeated Session' },
  SessionExecRequest: { session_id: '1 string', command: '2 string', timeout: '3 Duration' },
}

const enums: Record<string, readonly string[]> = {
  Permission: ['UNSPECIFIED', 'NONE', 'VIEW', 'READ', 'WRITE'].map((name) => `PERMISSION_${name}`),
  PatternType: ['UNSPECIFIED', 'GLOB', 'DIRECTORY', 'FILE'].map((name) => `PATTERN_TYPE_${name}`),
  SandboxStatus: ['UNSPECIFIED', 'PENDING', 'RUNNING', 'STOPPED', 'ERROR'].map((name) => `SANDBOX_STATUS_${name}`),
  SessionStatus: ['UNSPECIFIED', 'ACTIVE', 'CLOSED'].map((name) => `SESSION_STATUS_${name}`),
  RuntimeType: ['UNSPECIFIED', 'BWRAP', 'DOCKER'].map((name) => `RUNTIME_TYPE_${name}`),
  'ExecOutput.OutputType': ['UNSPECIFIED', 'STDOUT', 'STDERR'].map((name) => `OUTPUT_TYPE_${name}`),
}

const methods: Record<string, Record<string, string>> = {
  CodebaseService: {
    CreateCodebase: 'CreateCodebaseRequest → Codebase',
    GetCodebase: 'GetCodebaseRequest → Codebase',
    ListCodebases: 'ListCodebasesRequest → ListCodebasesResponse',
    DeleteCodebase: 'DeleteCodebaseRequest → Empty',
    UploadFiles: 'stream UploadChunk → UploadResult',
    DownloadFile: 'DownloadFileRequest → stream FileChunk',
    ListFiles: 'ListFilesRequest → ListFilesResponse',
  },
  SandboxService: {
    CreateSandbox: 'CreateSandboxRequest → Sandbox',
    GetSandbox: 'GetSandboxRequest → Sandbox',
    ListSandboxes: 'ListSandboxesRequest → ListSandboxesResponse',
    StartSandbox: 'StartSandboxRequest → Sandbox',
    StopSandbox: 'StopSandboxRequest → Sandbox',
    DestroySandbox: 'DestroySandboxRequest → Empty',
    Exec: 'ExecRequest → ExecResult',
    ExecStream: 'ExecRequest → stream ExecOutput',
    CreateSession: 'CreateSessionRequest → Session',
    GetSession: 'GetSessionRequest → Session',
    DestroySession: 'DestroySessionRequest → Empty',
    ListSessions: 'ListSessionsRequest → ListSessionsResponse',
    SessionExec: 'SessionExecRequest → ExecResult',
    SessionExecStream: 'SessionExecRequest → stream ExecOutput',
  },
}

const packagePrefix = 'sandbox.v1.'
const firstNumberOfOurs = 100

describe('the wire', () => {
  test.each(Object.entries(messages))('%s has the fields of wire v1, and its own from 100 up', (name, fields) => {
    const message = described<DescMessage>('message', name)
    const ofV1 = message.fields.filter((field) => field.number < firstNumberOfOurs)
    expect(Object.fromEntries(ofV1.map((field) => [field.name, describeField(field)]))).toEqual(fields)
  })

  test.each(Object.entries(enums))('%s has the values of wire v1, and its own from 100 up', (name, values) => {
    const ofV1 = described<DescEnum>('enum', name).values.filter((value) => value.number < firstNumberOfOurs)
    expect(ofV1.map((value) => `${value.number} ${value.name}`)).toEqual(values.map((value, at) => `${at} ${value}`))
  })

  test.each(Object.entries(methods))('%s has the methods of wire v1', (name, calls) => {
    const service = described<DescService>('service', name)
    const found = Object.fromEntries(service.methods.map((method) => [method.name, describeMethod(method)]))
    expect(found).toMatchObject(calls)
  })
})

function described<D extends DescMessage | DescEnum | DescService>(kind: D['kind'], name: string): D {
  const all: readonly unknown[] = Object.values(wire)
  const found = all.find(
    (each): each is D => isDescriptor(each) && each.kind === kind && each.typeName === packagePrefix + name,
  )
  if (found === undefined) throw new Error(`the contract has no ${kind} ${packagePrefix}${name}`)
  return found
}

function isDescriptor(value: unknown): value is { kind: string; typeName: string } {
  return typeof value === 'object' && value !== null && 'kind' in value && 'typeName' in value
}

function describeField(field: DescField): string {
  const oneof = field.oneof === undefined ? '' : ` oneof ${field.oneof.name}`
  return `${field.number} ${typeOf(field)}${oneof}`
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarName(field.scalar)
    case 'message':
      return shortName(field.message)
    case 'enum':
      return shortName(field.enum)
    case 'list':
      return `repeated ${field.listKind === 'scalar' ? scalarName(field.scalar) : shortName(field.listKind === 'enum' ? field.enum : field.message)}`
    case 'map':
      return `map<${scalarName(field.mapKey)}, ${field.mapKind === 'scalar' ? scalarName(field.scalar) : field.mapKind}>`
  }
}

function describeMethod(method: DescService['methods'][number]): string {
  const kind = method.methodKind
  const streamIn = kind === 'client_streaming' || kind === 'bidi_streaming' ? 'stream ' : ''
  const streamOut = kind === 'server_streaming' || kind === 'bidi_streaming' ? 'stream ' : ''
  return `${streamIn}${shortName(method.input)} → ${streamOut}${shortName(method.output)}`
}

function scalarName(scalar: ScalarType): string {
  return ScalarType[scalar].toLowerCase()
}

function shortName(type: { readonly typeName: string }): string {
  return type.typeName.replace(packagePrefix, '').replace('google.protobuf.', '')
}
