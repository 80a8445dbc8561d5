/** How many bytes of a text are in which line. Long lines count in pieces, so that one in a binary file is not all of it. */
export type Fingerprint = ReadonlyMap<number, number>

const PIECE_BYTES = 64
const NEWLINE = 10

export function fingerprintOf(bytes: Uint8Array): Fingerprint {
  const counts = new Map<number, number>()
  let hash = FNV_BASIS
  let start = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    hash = Math.imul(hash ^ byte, FNV_PRIME)
    if (byte !== NEWLINE && at + 1 - start < PIECE_BYTES && at + 1 < bytes.length) continue
    counts.set(hash, (counts.get(hash) ?? 0) + at + 1 - start)
    hash = FNV_BASIS
    start = at + 1
  }
  return counts
}

/** Percent of the larger of two texts that the other has too. */
export function similarity(
  one: { readonly fingerprint: Fingerprint; readonly size: number },
  other: { readonly fingerprint: Fingerprint; readonly size: number },
): number {
  let common = 0
  for (const [line, bytes] of one.fingerprint) common += Math.min(bytes, other.fingerprint.get(line) ?? 0)
  return Math.floor((common * 100) / Math.max(one.size, other.size, 1))
}

// Fowler, Noll and Vo's hash of 32 bits, 1a.
const FNV_BASIS = 0x811c9dc5
const FNV_PRIME = 0x01000193
