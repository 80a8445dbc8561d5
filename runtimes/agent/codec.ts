/**
 * The agent's frames, as bytes. Pure. `docs/spec/agent-protocol.md` is the text; `src/agent.h` has the same
 * numbers.
 */

import { CodecError, exactly } from './codec-error.ts'
import { decodeStreamFrame, encodeStreamPayload, isStreamFrame, type StreamFrame } from './stream-codec.ts'

export { CodecError } from './codec-error.ts'

export const PROTOCOL_VERSION = 1
export const HEADER_BYTES = 8
export const MAX_PAYLOAD_BYTES = 32_768
/** Working directory, arguments and environment together. */
export const MAX_SPEC_BYTES = 2 << 20
/** Arguments and variables together. */
export const MAX_STRINGS = 65_536
/** Credit that every input channel begins with. */
export const INPUT_WINDOW_BYTES = 32_768

/** A channel's number is the descriptor's number in the process. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2, controlIn: 3, controlOut: 4 } as const
export const CHANNELS = 5

const FrameType = {
  spec: 1,
  spawn: 2,
  data: 3,
  end: 4,
  credit: 5,
  signal: 6,
  resize: 7,
  hello: 16,
  started: 17,
  failed: 18,
  exited: 19,
  ping: 72,
  pong: 73,
  filter: 24,
  sync: 80,
  synced: 81,
} as const

const SPAWN_FLAG = { stdin: 1, terminal: 2, control: 4 } as const
const TARGETS = ['process', 'group', 'tree'] as const
const STAGES = ['setup', 'cwd', 'exec'] as const

export type SignalTarget = (typeof TARGETS)[number]
export type SpawnStage = (typeof STAGES)[number]

export type Frame = ProcessFrame | StreamFrame

type ProcessFrame =
  | { readonly type: 'spec'; readonly id: number; readonly part: Buffer }
  | SpawnFrame
  | { readonly type: 'data'; readonly id: number; readonly channel: number; readonly data: Buffer }
  | { readonly type: 'end'; readonly id: number; readonly channel: number }
  | { readonly type: 'credit'; readonly id: number; readonly channel: number; readonly bytes: number }
  | { readonly type: 'signal'; readonly id: number; readonly signal: number; readonly target: SignalTarget }
  | { readonly type: 'resize'; readonly id: number; readonly rows: number; readonly columns: number }
  /** A program of classic BPF, in the kernel's form. */
  | { readonly type: 'filter'; readonly program: Buffer }
  | { readonly type: 'hello'; readonly version: number }
  | { readonly type: 'started'; readonly id: number; readonly pid: number }
  | { readonly type: 'failed'; readonly id: number; readonly stage: SpawnStage; readonly errno: number }
  | ExitedFrame
  /** Answered at once by a `pong` with the same token. */
  | { readonly type: 'ping'; readonly token: number }
  | { readonly type: 'pong'; readonly token: number }
  /** A program waits until what it wrote is on the disk. */
  | { readonly type: 'sync'; readonly token: bigint }
  /** It is, or could not be brought there. */
  | { readonly type: 'synced'; readonly token: bigint; readonly errno: number }

export interface SpawnFrame {
  readonly type: 'spawn'
  readonly id: number
  readonly stdin: boolean
  readonly terminal: boolean
  readonly control: boolean
  readonly rows: number
  readonly columns: number
  /** Credit that every output channel begins with. */
  readonly windowBytes: number
  readonly argc: number
  readonly envc: number
}

export interface ExitedFrame {
  readonly type: 'exited'
  readonly id: number
  readonly code: number
  /** 0: none; then `code` counts. */
  readonly signal: number
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
  readonly maxRssBytes: number
}

export function encodeFrame(frame: Frame): Buffer {
  if (isStreamFrame(frame)) {
    const { type, payload } = encodeStreamPayload(frame)
    return withPayload(frame.id, type, 0, payload)
  }
  return encodeProcessFrame(frame)
}

function encodeProcessFrame(frame: ProcessFrame): Buffer {
  switch (frame.type) {
    case 'spec':
      return withPayload(frame.id, FrameType.spec, 0, frame.part)
    case 'spawn':
      return encodeSpawn(frame)
    case 'data':
      return withPayload(frame.id, FrameType.data, frame.channel, frame.data)
    case 'end':
      return header(frame.id, FrameType.end, frame.channel, 0)
    case 'credit': {
      const bytes = header(frame.id, FrameType.credit, frame.channel, 4)
      bytes.writeUInt32LE(frame.bytes, HEADER_BYTES)
      return bytes
    }
    case 'signal': {
      const bytes = header(frame.id, FrameType.signal, 0, 2)
      bytes[HEADER_BYTES] = frame.signal
      bytes[HEADER_BYTES + 1] = TARGETS.indexOf(frame.target)
      return bytes
    }
    case 'resize': {
      const bytes = header(frame.id, FrameType.resize, 0, 4)
      bytes.writeUInt16LE(frame.rows, HEADER_BYTES)
      bytes.writeUInt16LE(frame.columns, HEADER_BYTES + 2)
      return bytes
    }
    case 'filter':
      return withPayload(0, FrameType.filter, 0, frame.program)
    case 'hello': {
      const bytes = header(0, FrameType.hello, 0, 6)
      bytes.write('CRFT', HEADER_BYTES, 'latin1')
      bytes.writeUInt16LE(frame.version, HEADER_BYTES + 4)
      return bytes
    }
    case 'started': {
      const bytes = header(frame.id, FrameType.started, 0, 4)
      bytes.writeUInt32LE(frame.pid, HEADER_BYTES)
      return bytes
    }
    case 'failed': {
      const bytes = header(frame.id, FrameType.failed, 0, 8)
      bytes.writeUInt32LE(STAGES.indexOf(frame.stage), HEADER_BYTES)
      bytes.writeUInt32LE(frame.errno, HEADER_BYTES + 4)
      return bytes
    }
    case 'exited':
      return encodeExited(frame)
    case 'sync': {
      const bytes = header(0, FrameType.sync, 0, 8)
      bytes.writeBigUInt64LE(frame.token, HEADER_BYTES)
      return bytes
    }
    case 'synced': {
      const bytes = header(0, FrameType.synced, 0, 12)
      bytes.writeBigUInt64LE(frame.token, HEADER_BYTES)
      bytes.writeUInt32LE(frame.errno, HEADER_BYTES + 8)
      return bytes
    }
    case 'ping':
    case 'pong': {
      const bytes = header(0, FrameType[frame.type], 0, 4)
      bytes.writeUInt32LE(frame.token, HEADER_BYTES)
      return bytes
    }
  }
}

/**
 * Takes frames off the front of a byte stream that comes in pieces. Keeps at most one incomplete frame. Data
 * of a frame may be a view of the piece it came in. Throws a `CodecError`, after which it must not be used.
 */
export class FrameDecoder {
  #pending: Buffer = EMPTY

  /** The frames that are whole now. */
  decode(piece: Buffer): Frame[] {
    const frames: Frame[] = []
    let bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, piece]) : piece
    this.#pending = EMPTY
    while (bytes.length >= HEADER_BYTES) {
      const length = bytes.readUInt16LE(6)
      if (length > MAX_PAYLOAD_BYTES) throw new CodecError(`a frame of ${length} bytes`)
      if (bytes.length < HEADER_BYTES + length) break
      frames.push(decodeFrame(bytes.subarray(0, HEADER_BYTES + length)))
      bytes = bytes.subarray(HEADER_BYTES + length)
    }
    this.#pending = bytes
    return frames
  }
}

/** Working directory, arguments and environment, as `spec` frames carry them. */
export function encodeSpec(
  cwd: string,
  argv: readonly (string | Buffer)[],
  env: Readonly<Record<string, string>>,
): Buffer {
  const pieces: Buffer[] = []
  const put = (text: string | Buffer) => pieces.push(Buffer.from(text as string), NUL)
  put(cwd)
  for (const argument of argv) put(argument)
  for (const [name, value] of Object.entries(env)) put(`${name}=${value}`)
  return Buffer.concat(pieces)
}

const EMPTY = Buffer.alloc(0)
const NUL = Buffer.alloc(1)

function header(id: number, type: number, channel: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + length)
  bytes.writeUInt32LE(id, 0)
  bytes[4] = type
  bytes[5] = channel
  bytes.writeUInt16LE(length, 6)
  return bytes
}

function withPayload(id: number, type: number, channel: number, payload: Buffer): Buffer {
  if (payload.length > MAX_PAYLOAD_BYTES) throw new CodecError(`a frame of ${payload.length} bytes`)
  const bytes = header(id, type, channel, payload.length)
  payload.copy(bytes, HEADER_BYTES)
  return bytes
}

function encodeSpawn(frame: SpawnFrame): Buffer {
  const bytes = header(frame.id, FrameType.spawn, 0, 20)
  const flags =
    (frame.stdin ? SPAWN_FLAG.stdin : 0) |
    (frame.terminal ? SPAWN_FLAG.terminal : 0) |
    (frame.control ? SPAWN_FLAG.control : 0)
  bytes[HEADER_BYTES] = flags
  bytes.writeUInt16LE(frame.rows, HEADER_BYTES + 2)
  bytes.writeUInt16LE(frame.columns, HEADER_BYTES + 4)
  bytes.writeUInt32LE(frame.windowBytes, HEADER_BYTES + 8)
  bytes.writeUInt32LE(frame.argc, HEADER_BYTES + 12)
  bytes.writeUInt32LE(frame.envc, HEADER_BYTES + 16)
  return bytes
}

function encodeExited(frame: ExitedFrame): Buffer {
  const bytes = header(frame.id, FrameType.exited, 0, 32)
  bytes.writeUInt32LE(frame.code, HEADER_BYTES)
  bytes.writeUInt32LE(frame.signal, HEADER_BYTES + 4)
  bytes.writeBigUInt64LE(BigInt(frame.cpuUserUs), HEADER_BYTES + 8)
  bytes.writeBigUInt64LE(BigInt(frame.cpuSystemUs), HEADER_BYTES + 16)
  bytes.writeBigUInt64LE(BigInt(frame.maxRssBytes), HEADER_BYTES + 24)
  return bytes
}

function decodeFrame(bytes: Buffer): Frame {
  const id = bytes.readUInt32LE(0)
  const type = bytes.readUInt8(4)
  const channel = bytes.readUInt8(5)
  const payload = bytes.subarray(HEADER_BYTES)
  if (channel >= CHANNELS) throw new CodecError(`channel ${channel}`)
  switch (type) {
    case FrameType.spec:
      return { type: 'spec', id, part: payload }
    case FrameType.spawn:
      return decodeSpawn(id, exactly(payload, 20, 'spawn'))
    case FrameType.data:
      return { type: 'data', id, channel, data: payload }
    case FrameType.end:
      exactly(payload, 0, 'end')
      return { type: 'end', id, channel }
    case FrameType.credit:
      return { type: 'credit', id, channel, bytes: exactly(payload, 4, 'credit').readUInt32LE(0) }
    case FrameType.signal:
      exactly(payload, 2, 'signal')
      return {
        type: 'signal',
        id,
        signal: payload.readUInt8(0),
        target: oneOf(TARGETS, payload.readUInt8(1), 'target'),
      }
    case FrameType.resize:
      exactly(payload, 4, 'resize')
      return { type: 'resize', id, rows: payload.readUInt16LE(0), columns: payload.readUInt16LE(2) }
    case FrameType.filter:
      return { type: 'filter', program: payload }
    case FrameType.hello:
      exactly(payload, 6, 'hello')
      if (payload.toString('latin1', 0, 4) !== 'CRFT') throw new CodecError('a hello of another protocol')
      return { type: 'hello', version: payload.readUInt16LE(4) }
    case FrameType.started:
      return { type: 'started', id, pid: exactly(payload, 4, 'started').readUInt32LE(0) }
    case FrameType.failed:
      exactly(payload, 8, 'failed')
      return {
        type: 'failed',
        id,
        stage: oneOf(STAGES, payload.readUInt32LE(0), 'stage'),
        errno: payload.readUInt32LE(4),
      }
    case FrameType.exited:
      return decodeExited(id, exactly(payload, 32, 'exited'))
    case FrameType.sync:
      return { type: 'sync', token: exactly(payload, 8, 'sync').readBigUInt64LE(0) }
    case FrameType.synced:
      exactly(payload, 12, 'synced')
      return { type: 'synced', token: payload.readBigUInt64LE(0), errno: payload.readUInt32LE(8) }
    case FrameType.ping:
      return { type: 'ping', token: exactly(payload, 4, 'ping').readUInt32LE(0) }
    case FrameType.pong:
      return { type: 'pong', token: exactly(payload, 4, 'pong').readUInt32LE(0) }
    default: {
      const frame = decodeStreamFrame(id, type, payload)
      if (frame === undefined) throw new CodecError(`a frame of type ${type}`)
      return frame
    }
  }
}

function decodeSpawn(id: number, payload: Buffer): SpawnFrame {
  const flags = payload.readUInt8(0)
  return {
    type: 'spawn',
    id,
    stdin: (flags & SPAWN_FLAG.stdin) !== 0,
    terminal: (flags & SPAWN_FLAG.terminal) !== 0,
    control: (flags & SPAWN_FLAG.control) !== 0,
    rows: payload.readUInt16LE(2),
    columns: payload.readUInt16LE(4),
    windowBytes: payload.readUInt32LE(8),
    argc: payload.readUInt32LE(12),
    envc: payload.readUInt32LE(16),
  }
}

function decodeExited(id: number, payload: Buffer): ExitedFrame {
  const code = payload.readUInt32LE(0)
  const signal = payload.readUInt32LE(4)
  if (code > 255 || signal > 64) throw new CodecError(`an exit with code ${code} and signal ${signal}`)
  return {
    type: 'exited',
    id,
    code,
    signal,
    cpuUserUs: safeInteger(payload.readBigUInt64LE(8)),
    cpuSystemUs: safeInteger(payload.readBigUInt64LE(16)),
    maxRssBytes: safeInteger(payload.readBigUInt64LE(24)),
  }
}

function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new CodecError(`a number of ${value}`)
  return Number(value)
}

function oneOf<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index]
  if (value === undefined) throw new CodecError(`${what} ${index}`)
  return value
}
