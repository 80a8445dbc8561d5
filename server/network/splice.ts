import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'

/** Two streams as one connection: each way to its own end, and both gone when one breaks. */
export function splice(a: Duplex, b: Duplex): void {
  // What went wrong shows to whoever is at the ends.
  pipeline(a, b, () => undefined)
  pipeline(b, a, () => undefined)
}
