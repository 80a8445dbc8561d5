/** The frames about connections over the sandbox's own loop-back: their types and payloads. Pure. */
import { CodecError, exactly } from './codec-error.ts'

/** Connections at one time, of both kinds. */
export const MAX_STREAMS = 512
/** Set in the ids that the agent gives to connections that it has accepted. */
export const ACCEPTED_ID = 0x8000_0000

const StreamType = {
  listen: 32,
  listening: 33,
  accepted: 34,
  connect: 35,
  connected: 36,
  streamData: 37,
  streamEnd: 38,
  streamCredit: 39,
  streamReset: 40,
  streamClosed: 41,
} as const

export type StreamFrame =
  | ListenFrame
  | { readonly type: 'listening'; readonly id: number; readonly errno: number }
  | { readonly type: 'accepted'; readonly id: number }
  | ConnectFrame
  | { readonly type: 'connected'; readonly id: number }
  | { readonly type: 'streamData'; readonly id: number; readonly data: Buffer }
  | { readonly type: 'streamEnd'; readonly id: number }
  | { readonly type: 'streamCredit'; readonly id: number; readonly bytes: number }
  | { readonly type: 'streamReset'; readonly id: number }
  | { readonly type: 'streamClosed'; readonly id: number; readonly errno: number }

export interface ListenFrame {
  readonly type: 'listen'
  readonly id: number
  readonly port: number
  readonly maxConnections: number
  /** Credit that what is read from each connection begins with. */
  readonly windowBytes: number
}

export interface ConnectFrame {
  readonly type: 'connect'
  readonly id: number
  readonly port: number
  readonly family: 4 | 6
  readonly windowBytes: number
}

export function isStreamFrame(frame: { readonly type: string }): frame is StreamFrame {
  return frame.type in StreamType
}

export function encodeStreamPayload(frame: StreamFrame): { type: number; payload: Buffer } {
  const type = StreamType[frame.type]
  switch (frame.type) {
    case 'listen': {
      const payload = Buffer.alloc(12)
      payload.writeUInt16LE(frame.port, 0)
      payload.writeUInt32LE(frame.maxConnections, 4)
      payload.writeUInt32LE(frame.windowBytes, 8)
      return { type, payload }
    }
    case 'connect': {
      const payload = Buffer.alloc(8)
      payload.writeUInt16LE(frame.port, 0)
      payload.writeUInt16LE(frame.family, 2)
      payload.writeUInt32LE(frame.windowBytes, 4)
      return { type, payload }
    }
    case 'listening':
    case 'streamClosed':
      return { type, payload: u32(frame.errno) }
    case 'streamCredit':
      return { type, payload: u32(frame.bytes) }
    case 'streamData':
      return { type, payload: frame.data }
    case 'accepted':
    case 'connected':
    case 'streamEnd':
    case 'streamReset':
      return { type, payload: Buffer.alloc(0) }
  }
}

/** `undefined`: a type that is none of these. Throws a `CodecError` where the payload cannot be. */
export function decodeStreamFrame(id: number, type: number, payload: Buffer): StreamFrame | undefined {
  switch (type) {
    case StreamType.listen: {
      exactly(payload, 12, 'listen')
      return {
        type: 'listen',
        id,
        port: payload.readUInt16LE(0),
        maxConnections: payload.readUInt32LE(4),
        windowBytes: payload.readUInt32LE(8),
      }
    }
    case StreamType.connect: {
      exactly(payload, 8, 'connect')
      const family = payload.readUInt16LE(2)
      if (family !== 4 && family !== 6) throw new CodecError(`family ${family}`)
      return { type: 'connect', id, port: payload.readUInt16LE(0), family, windowBytes: payload.readUInt32LE(4) }
    }
    case StreamType.listening:
      return { type: 'listening', id, errno: exactly(payload, 4, 'listening').readUInt32LE(0) }
    case StreamType.streamClosed:
      return { type: 'streamClosed', id, errno: exactly(payload, 4, 'closed').readUInt32LE(0) }
    case StreamType.streamCredit:
      return { type: 'streamCredit', id, bytes: exactly(payload, 4, 'credit of a stream').readUInt32LE(0) }
    case StreamType.streamData:
      return { type: 'streamData', id, data: payload }
    case StreamType.accepted:
      return empty('accepted')
    case StreamType.connected:
      return empty('connected')
    case StreamType.streamEnd:
      return empty('streamEnd')
    case StreamType.streamReset:
      return empty('streamReset')
    default:
      return undefined
  }

  function empty<T extends 'accepted' | 'connected' | 'streamEnd' | 'streamReset'>(name: T) {
    exactly(payload, 0, name)
    return { type: name, id }
  }
}

function u32(value: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32LE(value, 0)
  return payload
}
