import { createHash } from 'node:crypto'
import type { Hash } from '../store/objects.ts'

/**
 * Other numbers for inodes and for places in listings, as they are told outside. Those that we count by are places in the
 * base (ADR 5), so a gap between two neighbours would tell how much is hidden there.
 *
 * Their lower 32 bits are shuffled by a Feistel network, whose key only who has all of the base could work out: so a number
 * stays the same at every mount, nothing has to be remembered, and no two become one. It is cheap, not a cipher.
 */
export interface ToldNumbers {
  tell(number: number): number
  /** The number that is told as this. */
  meant(told: number): number
}

export function toldNumbers(base: Hash): ToldNumbers {
  const digest = createHash('sha256').update(`told numbers ${base}`).digest()
  const keys = Array.from({ length: ROUNDS }, (_, round) => digest.readUInt32LE(round * 4))
  const backwards = [...keys].reverse()
  return {
    tell: (number) => shuffle(number, keys),
    meant: (told) => shuffle(told, backwards),
  }
}

const ROUNDS = 6

function shuffle(number: number, keys: readonly number[]): number {
  const low = number >>> 0
  // 0 is no inode and the start of a listing, 1 is the root. Whatever leads to one of them is led on.
  if (low < 2) return number
  let at = network(low, keys)
  while (at < 2) at = network(at, keys)
  return number - low + at
}

/** With the keys in reverse it leads back, as the halves change places at the end too. */
function network(value: number, keys: readonly number[]): number {
  let left = value >>> 16
  let right = value & 0xffff
  for (let round = 0; round < ROUNDS; round++) {
    const next = left ^ mix(right, keys[round]!)
    left = right
    right = next
  }
  return ((right << 16) | left) >>> 0
}

function mix(half: number, key: number): number {
  let mixed = Math.imul(half ^ key, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35) + key
  return (mixed ^ (mixed >>> 13)) & 0xffff
}
