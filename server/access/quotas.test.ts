import { expect, it } from 'vitest'
import { limitsSchema } from '../config/limits.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { Quotas } from './quotas.ts'

let now = 0

function quotas(limits: Record<string, number>, { sandboxes = [], named = {} }: Given = {}): Quotas {
  const table = <T extends { id: string }>(all: readonly T[]) => ({
    values: () => all.values(),
    get: (id: string) => all.find((each) => each.id === id),
  })
  const codebases = [{ id: 'cb_1', ownerId: 'a', root: 'ten' }]
  const records = { codebases: table(codebases), sandboxes: table(sandboxes), snapshots: table([]) }
  return new Quotas(
    { limits: limitsSchema.parse(limits), quotas: named },
    { records: records as never, bytesOf: () => 10, nowMs: () => now },
  )
}

interface Given {
  readonly sandboxes?: readonly SandboxRecord[]
  readonly named?: Record<string, { sandboxes?: number }>
}

const running = (id: string, owner: string, bytes = 0) =>
  ({ id, owner, status: 'running', quota: bytes === 0 ? {} : { bytes } }) as unknown as SandboxRecord

it('the last one that a quota allows is taken, the next is refused with what there is', () => {
  const all = quotas({ maxSandboxesPerOwner: 2 }, { sandboxes: [running('1', 'a'), running('2', 'b')] })
  all.check('a', { sandboxes: 1 })
  expect(() => all.check('a', { sandboxes: 2 })).toThrow('owner a has 1 of 2 sandboxes, and this is 2 more')
  expect(() => all.check('a', { sandboxes: 2 })).toThrow(
    expect.objectContaining({ code: 'RESOURCE_EXHAUSTED', reason: 'quota_sandboxes' }),
  )
})

it('what is asked for at the same time counts, until it is given up', () => {
  const all = quotas({ maxRunningPerOwner: 2 }, { sandboxes: [running('1', 'a')] })
  const second = all.reserve('a', { running: 1 })
  expect(() => all.reserve('a', { running: 1 })).toThrow('2 of 2 running')
  all.reserve('b', { running: 1 })
  second[Symbol.dispose]()
  all.reserve('a', { running: 1 })
})

it('bytes are those of codebases and snapshots, and what sandboxes may add', () => {
  const all = quotas({ maxBytesPerOwner: 35 }, { sandboxes: [running('1', 'a', 20)] })
  all.check('a', { bytes: 5 })
  all.check('a', { bytes: -100 })
  expect(() => all.check('a', { bytes: 6 })).toThrow('owner a has 30 of 35 bytes, and this is 6 more')
})

it('under a quota of bytes a sandbox must say how much it may add', () => {
  expect(() => quotas({ maxBytesPerOwner: 35 }).bytesOfSandbox('a', undefined)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'resources.disk_bytes' }),
  )
  expect(quotas({ maxBytesPerOwner: 35 }).bytesOfSandbox('a', 7)).toBe(7)
  expect(quotas({}).bytesOfSandbox('a', undefined)).toBe(0)
})

it('a quota of an owner takes the place of that of all, whatever the owner is called', () => {
  const all = quotas({ maxSandboxesPerOwner: 1 }, { named: { a: { sandboxes: 3 }, b: { sandboxes: 0 } } })
  all.check('a', { sandboxes: 3 })
  expect(() => all.check('a', { sandboxes: 4 })).toThrow('0 of 3')
  all.check('b', { sandboxes: 100 })
  for (const name of ['c', '__proto__', 'constructor']) expect(() => all.check(name, { sandboxes: 2 })).toThrow('of 1')
})

it("the server's own user has none", () => {
  quotas({ maxSandboxesPerOwner: 1 }).check('', { sandboxes: 100 })
})

it('so many commands a minute, and again when it is over', () => {
  const all = quotas({ maxCommandsPerMinutePerOwner: 2 })
  for (const owner of ['a', 'a', 'b']) all.countCommand(owner)
  now += 59_999
  expect(() => all.countCommand('a')).toThrow('2 of 2 commands in a minute: try again in 1 s')
  now += 1
  all.countCommand('a')
})
