import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { duplexPair } from './duplex-pair.ts'

it('what is written to one end is read from the other, both ways at once', async () => {
  const [one, other] = duplexPair()
  const there = randomBytes(300_000)
  const back = randomBytes(200_000)
  one.end(there)
  other.end(back)
  const [arrived, returned] = await Promise.all([buffer(other), buffer(one)])
  expect([arrived.equals(there), returned.equals(back)]).toEqual([true, true])
})

it('a writer waits for a reader that does not read', async () => {
  const [one, other] = duplexPair()
  let written = 0
  while (one.write(Buffer.alloc(16_384)) && written < 1000) written++
  expect(written).toBeLessThan(10)
  other.resume()
  await once(one, 'drain')
})

it('one that is destroyed takes the other with it', async () => {
  const [one, other] = duplexPair()
  one.destroy()
  await once(other, 'close')
  expect(other.destroyed).toBe(true)
})
