import { expect, it } from 'vitest'
import { limitsSchema } from '../config/limits.ts'
import { Running, type RunningParts } from './running.ts'

it('there is room for as many connections to its ports as the limit says, and again for each that ends', () => {
  const running = new Running(limitsSchema.parse({ maxPortConnectionsPerSandbox: 2 }), {
    sandboxId: 'sb',
    limits: {},
  } as RunningParts)
  running.beginConnection()
  running.beginConnection()
  expect(() => running.beginConnection()).toThrow(expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }))
  running.endConnection()
  running.beginConnection()
})
