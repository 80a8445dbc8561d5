import { describe, expect, it } from 'vitest'
import { createBackings, MAX_IDLE_BACKINGS } from './backings.ts'
import type { Syscalls } from './syscalls.ts'

describe('backing files', () => {
  it('are registered once, however often they are opened', () => {
    const { backings, registered } = record()
    expect(backings.acquire('a', 3)).toBe(backings.acquire('a', 3))
    backings.release(1)
    backings.release(1)
    expect(backings.acquire('a', 3)).toBe(1)
    expect(registered).toEqual([3])
  })

  it('stay registered while they are open, and are dropped oldest first when too many are idle', () => {
    const { backings, dropped } = record()
    const inUse = backings.acquire('in use', 1)
    for (let i = 0; i < MAX_IDLE_BACKINGS; i++) backings.release(backings.acquire(`idle ${i}`, i))
    expect(dropped).toEqual([])
    backings.release(backings.acquire('one more', 9))
    expect(dropped).toEqual([inUse + 1])
  })

  it('are not handed out when the kernel refuses them', () => {
    const { backings } = record(-1)
    expect(backings.acquire('a', 3)).toBe(0)
  })

  it('ignore the release of what was never acquired', () => {
    const { backings, dropped } = record()
    backings.release(12)
    expect(dropped).toEqual([])
  })
})

function record(result?: number) {
  const registered: number[] = []
  const dropped: number[] = []
  const syscalls = {
    ioctl(_fd: number, request: number, argument: Buffer): number {
      if (request === 0x4010e501) {
        registered.push(argument.readInt32LE(0))
        return result ?? registered.length
      }
      dropped.push(argument.readUInt32LE(0))
      return 0
    },
  }
  return { backings: createBackings(5, syscalls as unknown as Syscalls), registered, dropped }
}
