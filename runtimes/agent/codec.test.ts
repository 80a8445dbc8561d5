import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CHANNELS,
  CodecError,
  encodeFrame,
  encodeSpec,
  type Frame,
  FrameDecoder,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
} from './codec.ts'

const u32 = fc.nat({ max: 0xffff_ffff })
const u16 = fc.nat({ max: 0xffff })
const channel = fc.nat({ max: CHANNELS - 1 })
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const safe = fc.nat({ max: Number.MAX_SAFE_INTEGER })

const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('spec' as const), id: u32, part: bytes }),
  fc.record({ type: fc.constant('data' as const), id: u32, channel, data: bytes }),
  fc.record({ type: fc.constant('end' as const), id: u32, channel }),
  fc.record({ type: fc.constant('credit' as const), id: u32, channel, bytes: u32 }),
  fc.record({
    type: fc.constant('signal' as const),
    id: u32,
    signal: fc.nat({ max: 255 }),
    target: fc.constantFrom('process' as const, 'group' as const, 'tree' as const),
  }),
  fc.record({ type: fc.constant('resize' as const), id: u32, rows: u16, columns: u16 }),
  fc.record({ type: fc.constant('sync' as const), token: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  fc.record({ type: fc.constant('synced' as const), token: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), errno: u32 }),
  fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), token: u32 }),
  fc.record({ type: fc.constant('filter' as const), program: bytes }),
  fc.record({ type: fc.constant('hello' as const), version: u16 }),
  fc.record({
    type: fc.constant('listen' as const),
    id: u32,
    port: u16,
    maxConnections: u32,
    windowBytes: u32,
  }),
  fc.record({
    type: fc.constant('connect' as const),
    id: u32,
    port: u16,
    family: fc.constantFrom(4 as const, 6 as const),
    windowBytes: u32,
  }),
  fc.record({ type: fc.constantFrom('listening' as const, 'streamClosed' as const), id: u32, errno: u32 }),
  fc.record({ type: fc.constant('streamData' as const), id: u32, data: bytes }),
  fc.record({ type: fc.constant('streamCredit' as const), id: u32, bytes: u32 }),
  fc.record({
    type: fc.constantFrom('accepted' as const, 'connected' as const, 'streamEnd' as const, 'streamReset' as const),
    id: u32,
  }),
  fc.record({ type: fc.constant('started' as const), id: u32, pid: u32 }),
  fc.record({
    type: fc.constant('failed' as const),
    id: u32,
    stage: fc.constantFrom('setup' as const, 'cwd' as const, 'exec' as const),
    errno: u32,
  }),
  fc.record({
    type: fc.constant('exited' as const),
    id: u32,
    code: fc.nat({ max: 255 }),
    signal: fc.nat({ max: 64 }),
    cpuUserUs: safe,
    cpuSystemUs: safe,
    maxRssBytes: safe,
  }),
  fc.record({
    type: fc.constant('spawn' as const),
    id: u32,
    stdin: fc.boolean(),
    terminal: fc.boolean(),
    control: fc.boolean(),
    rows: u16,
    columns: u16,
    windowBytes: u32,
    argc: u32,
    envc: u32,
  }),
)

describe('the codec of the agent', () => {
  it('gives back every frame that was encoded, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 20 }),
        fc.array(fc.nat({ max: 64 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(encodeFrame))
          const decoder = new FrameDecoder()
          const decoded: Frame[] = []
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const length = 1 + (cuts[turn % cuts.length] ?? 0)
            decoded.push(...decoder.decode(stream.subarray(at, at + length)))
            at += length
          }
          expect(decoded).toEqual(frames)
        },
      ),
    )
  })

  it('either decodes foreign bytes or throws a CodecError, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          new FrameDecoder().decode(Buffer.from(noise))
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError)
        }
      }),
    )
  })

  it('takes a payload of the limit, and refuses one byte more', () => {
    const largest = encodeFrame({ type: 'data', id: 1, channel: 1, data: Buffer.alloc(MAX_PAYLOAD_BYTES, 7) })
    expect(new FrameDecoder().decode(largest)).toHaveLength(1)
    const data = Buffer.alloc(MAX_PAYLOAD_BYTES + 1)
    expect(() => encodeFrame({ type: 'data', id: 1, channel: 1, data })).toThrow(CodecError)
    const header = Buffer.from(largest.subarray(0, HEADER_BYTES))
    header.writeUInt16LE(MAX_PAYLOAD_BYTES + 1, 6)
    expect(() => new FrameDecoder().decode(header)).toThrow(/32769/)
  })

  it('refuses a channel, a type, a length and a code that do not exist', () => {
    const end = encodeFrame({ type: 'end', id: 1, channel: 1 })
    const spoilt = (at: number, value: number, from = end) => {
      const copy = Buffer.from(from)
      copy[at] = value
      return () => new FrameDecoder().decode(copy)
    }
    expect(spoilt(4, 99)).toThrow(/type 99/)
    expect(spoilt(5, CHANNELS)).toThrow(/channel 5/)
    const started = encodeFrame({ type: 'started', id: 1, pid: 2 })
    expect(() => new FrameDecoder().decode(Buffer.concat([spoiltLength(started, 3)]))).toThrow(/started with 3 bytes/)
    const status = { cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 }
    const exited = encodeFrame({ type: 'exited', id: 1, code: 0, signal: 0, ...status })
    expect(spoilt(HEADER_BYTES + 1, 1, exited)).toThrow(/code 256/)
    expect(spoilt(HEADER_BYTES + 4, 65, exited)).toThrow(/signal 65/)
  })

  it('writes a description with a NUL after each string, and bytes as they are', () => {
    const spec = encodeSpec('/w', ['a', Buffer.from([0xff])], { X: '1' })
    expect(spec).toEqual(Buffer.from('/w\0a\0\xff\0X=1\0', 'latin1'))
  })
})

function spoiltLength(frame: Buffer, length: number): Buffer {
  const copy = Buffer.from(frame.subarray(0, HEADER_BYTES + length))
  copy.writeUInt16LE(length, 6)
  return copy
}
