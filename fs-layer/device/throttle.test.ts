import { expect, it } from 'vitest'
import { Opcode } from '../protocol/constants.ts'
import { type Bandwidth, type Passed, Throttle } from './throttle.ts'

const KIB = 1024
const NOTHING = Buffer.alloc(16)

function throttled(bandwidth: Bandwidth) {
  const clock = { nowMs: 1000 }
  const throttle = new Throttle(() => clock.nowMs)
  throttle.set(bandwidth)
  return { clock, throttle }
}

const write = (bytes: number): Passed => ({ opcode: Opcode.WRITE, requestBytes: 80 + bytes, reply: NOTHING })
const read = (bytes: number): Passed => ({ opcode: Opcode.READ, requestBytes: 80, reply: Buffer.alloc(16 + bytes) })

it('what is over the bandwidth is waited for to the millisecond, less what was saved', () => {
  const { clock, throttle } = throttled({ writeBytesPerSecond: 100 * KIB })
  expect(throttle.waitAfter(write(10 * KIB))).toBe(0)
  expect(throttle.waitAfter(write(10 * KIB))).toBe(100)
  clock.nowMs += 100
  expect(throttle.waitAfter(write(50 * KIB))).toBe(500)
  clock.nowMs += 60_000
  // A minute of rest is a tenth of a second of saving.
  expect(throttle.waitAfter(write(20 * KIB))).toBe(100)
})

it('reads and writes have a bandwidth each, and a limit of one is none of the other', () => {
  const { throttle } = throttled({ readBytesPerSecond: 100 * KIB })
  expect(throttle.waitAfter(write(10_000 * KIB))).toBe(0)
  expect(throttle.waitAfter(read(20 * KIB))).toBe(100)
  expect(throttle.waitAfter({ opcode: Opcode.LOOKUP, requestBytes: 60, reply: NOTHING })).toBe(100)
})

it('a copy made here is read and written', () => {
  const { throttle } = throttled({ readBytesPerSecond: 100 * KIB, writeBytesPerSecond: 50 * KIB })
  const reply = Buffer.alloc(24)
  reply.writeUInt32LE(10 * KIB, 16)
  expect(throttle.waitAfter({ opcode: Opcode.COPY_FILE_RANGE, requestBytes: 96, reply })).toBe(100)
})

it('a limit that is lifted leaves no debt', () => {
  const { throttle } = throttled({ writeBytesPerSecond: KIB })
  expect(throttle.waitAfter(write(100 * KIB))).toBeGreaterThan(90_000)
  throttle.set({})
  expect(throttle.waitAfter(write(100 * KIB))).toBe(0)
})
