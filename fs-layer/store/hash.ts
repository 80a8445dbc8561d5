import { createHash, hash } from 'node:crypto'
import type { Hash } from './objects.ts'
import { StoreError } from './store-error.ts'

export const HASH_BYTES = 32

/** SHA-256 of a buffer that is at hand as a whole. */
export function hashBytes(bytes: Uint8Array): Hash {
  return hash('sha256', bytes, 'hex')
}

/** SHA-256 of what comes in pieces. */
export function startHash(): { update(bytes: Uint8Array): void; digest(): Hash } {
  const running = createHash('sha256')
  return {
    update: (bytes) => {
      running.update(bytes)
    },
    digest: () => running.digest('hex'),
  }
}

export function isHash(text: string): text is Hash {
  return HASH_FORM.test(text)
}

/** For the edges: a hash from outside becomes part of a key and of a file's name. */
export function checkHash(text: string): Hash {
  if (!isHash(text)) throw new StoreError('invalid', 'A hash is 64 lower-case hexadecimal digits')
  return text
}

const HASH_FORM = /^[0-9a-f]{64}$/
