import type { Duplex } from 'node:stream'

/** Exactly so many bytes off the front of a stream, which keeps the rest; `undefined` where it ends before. */
export async function takeBytes(stream: Duplex, count: number): Promise<Buffer | undefined> {
  // A read of nothing is always nothing yet.
  if (count === 0) return Buffer.alloc(0)
  for (;;) {
    const bytes = stream.read(count) as Buffer | null
    if (bytes !== null) return bytes.length === count ? bytes : undefined
    if (stream.readableEnded || stream.destroyed) return undefined
    await new Promise<void>((resolve) => {
      const done = () => {
        for (const event of EVENTS) stream.off(event, done)
        resolve()
      }
      for (const event of EVENTS) stream.on(event, done)
    })
  }
}

const EVENTS = ['readable', 'end', 'close'] as const
