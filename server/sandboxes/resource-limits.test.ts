import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { ResourceLimitsSchema } from '../../proto/index.ts'
import { LIMIT_RANGES } from '../../runtimes/contract/limits.ts'
import { limitsSchema } from '../config/limits.ts'
import { type Abilities, checkAbilities, limitsInForce, parseResources } from './resource-limits.ts'

const LIMITS = limitsSchema.parse({ memoryBytesPerSandbox: 1 << 30, maxProcessesPerSandbox: 100 })

const ALL: Abilities = {
  ...{ memoryLimit: true, cpuLimit: true, pidsLimit: true, bandwidth: true, stats: true, terminal: true },
  ...{ image: true, systemCallFilter: true },
  ...{ openFilesLimit: true, fileSizeLimit: true, tmpLimit: true },
  ...{ networkOff: true, networkAllowList: true, networkFull: true },
}

const parse = (resources: MessageInitShape<typeof ResourceLimitsSchema>) =>
  parseResources(create(ResourceLimitsSchema, resources), LIMITS)

const refused = (field: string) => expect.objectContaining({ code: 'INVALID_ARGUMENT', field: `resources.${field}` })

const RANGED = [
  ['memoryBytes', 'memory_bytes', LIMIT_RANGES.memoryBytes.least],
  ['cpuQuota', 'cpu_quota', LIMIT_RANGES.cpuQuotaUs.least],
  ['cpuShares', 'cpu_shares', LIMIT_RANGES.cpuShares.least],
  ['tmpBytes', 'tmp_bytes', LIMIT_RANGES.tmpBytes.least],
  ['openFiles', 'open_files', LIMIT_RANGES.openFiles.least],
  ['fileBytes', 'file_bytes', LIMIT_RANGES.fileBytes.least],
] as const

it.each(RANGED)('%s below what a runtime can hold is refused by the name of its field', (key, field, least) => {
  expect(() => parse({ [key]: BigInt(least) })).not.toThrow()
  expect(() => parse({ [key]: BigInt(least - 1) })).toThrow(refused(field))
  expect(() => parse({ [key]: -1n })).toThrow(refused(field))
})

it('what the server allows at most is taken, and one more refused by the name of its field', () => {
  expect(parse({ pidsLimit: 100n, commands: 256n, sessions: 64n, openFiles: 16_384n })).toEqual({
    ...{ pids: 100, commands: 256, sessions: 64, openFiles: 16_384 },
  })
  expect(() => parse({ pidsLimit: 101n })).toThrow(refused('pids_limit'))
  expect(() => parse({ commands: 257n })).toThrow(refused('commands'))
  expect(() => parse({ sessions: 65n })).toThrow(refused('sessions'))
  expect(() => parse({ openFiles: 16_385n })).toThrow(refused('open_files'))
  expect(parse({ runTime: { seconds: 86_400n } })).toEqual({ runTimeMs: 86_400_000 })
  expect(() => parse({ runTime: { seconds: 86_400n, nanos: 1_000_000 } })).toThrow(refused('run_time'))
})

it('/tmp is at most half of the memory, whoever set that', () => {
  expect(parse({ tmpBytes: 1n << 29n })).toEqual({ tmpBytes: 1 << 29 })
  expect(() => parse({ tmpBytes: (1n << 29n) + 1n })).toThrow(refused('tmp_bytes'))
  expect(() => parse({ tmpBytes: 1n << 26n, memoryBytes: (1n << 27n) - 1n })).toThrow(refused('tmp_bytes'))
})

it('a limit that the runtime cannot hold is refused by the name of its field; one that is only usual is left out', () => {
  const without = { ...ALL, memoryLimit: false, bandwidth: false }
  const asked = { memoryBytes: 1 << 26 }
  const unsupported = (field: string) => expect.objectContaining({ code: 'UNIMPLEMENTED', field: `resources.${field}` })
  expect(() => checkAbilities(asked, 'bwrap', ALL)).not.toThrow()
  expect(() => checkAbilities(asked, 'bwrap', without)).toThrow(unsupported('memory_bytes'))
  const io = parse({ io: { writeBytesPerSecond: 1n << 20n } })
  expect(() => checkAbilities(io, 'bwrap', without)).toThrow(unsupported('io.write_bytes_per_second'))
  expect(limitsInForce({}, LIMITS, ALL)).toMatchObject({ memoryBytes: 1 << 30, pids: 100, openFiles: 16_384 })
  expect(limitsInForce({}, LIMITS, without)).not.toHaveProperty('memoryBytes')
})

it('what was asked for is in force before what is usual', () => {
  expect(limitsInForce({ pids: 5, commands: 2 }, LIMITS, ALL)).toMatchObject({ pids: 5, commands: 2, sessions: 64 })
  // The usual /tmp would be half of this memory: then it has the size that suits the memory.
  expect(limitsInForce({ memoryBytes: 1 << 26 }, LIMITS, ALL)).not.toHaveProperty('tmpBytes')
})
