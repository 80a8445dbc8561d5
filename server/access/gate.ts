import type { Metadata } from '@grpc/grpc-js'
import { CroftError } from '../errors/croft-error.ts'
import { type Caller, unauthenticated } from './caller.ts'
import type { Tokens } from './tokens.ts'
import type { Windows } from './windows.ts'

/** A way in. */
export interface Door {
  readonly name: string
  /** As whom somebody without a token comes in by it. Absent: not at all. */
  readonly caller?: Caller
  /** In which the door itself says who is behind a connection of its own. Nobody outside can send it. */
  readonly peerHeader?: string
}

export interface GateDependencies {
  readonly tokens: Tokens
  /** Wrong tokens, by who sent them and which they were meant to be. */
  readonly guesses: Windows
}

/** The only header that says who is calling, whatever else a request or a proxy before us sends. */
const HEADER = 'authorization'
const BEARER = /^bearer ([\u0021-\u007e]{1,512})$/i

/** Tells as whom a call is made. No text of its own has anything of a token in it. */
export class Gate {
  readonly #maxGuesses: number
  readonly #parts: GateDependencies

  constructor(options: { maxWrongTokensPerMinute: number }, dependencies: GateDependencies) {
    this.#maxGuesses = options.maxWrongTokensPerMinute
    this.#parts = dependencies
  }

  /** Throws UNAUTHENTICATED; RESOURCE_EXHAUSTED for who guesses. A token weighs more than the door. */
  admit(metadata: Metadata, door: Door, peer: string): Caller {
    const values = metadata.get(HEADER)
    if (values.length === 0) {
      if (door.caller !== undefined) return door.caller
      throw unauthenticated('this server wants a token, as `authorization: Bearer …`', 'token_missing')
    }
    const [value] = values
    const text = values.length === 1 && typeof value === 'string' ? BEARER.exec(value)?.[1] : undefined
    if (text === undefined) throw unauthenticated('`authorization` is not one bearer token', 'token_malformed')
    return this.#callerOf(text, `${door.name} ${addressOf(peer)}`)
  }

  #callerOf(text: string, from: string): Caller {
    const { tokens, guesses } = this.#parts
    const { record, id } = tokens.find(text)
    // Each token for itself: who guesses one does not shut out those who come from the same address with another.
    const guesser = `${from} ${id ?? ''}`
    const waitMs = guesses.waitMs(guesser, this.#maxGuesses)
    if (waitMs > 0) {
      const text = `too many wrong tokens came from there: try again in ${Math.ceil(waitMs / 1000)} s`
      throw new CroftError('RESOURCE_EXHAUSTED', text, { reason: 'too_many_wrong_tokens' })
    }
    if (record === undefined) {
      guesses.note(guesser)
      throw unauthenticated('the token is not valid: it is unknown, revoked or expired', 'token_invalid')
    }
    return { owner: record.owner, role: record.role, name: `token ${record.id}`, tokenId: record.id }
  }
}

function addressOf(peer: string): string {
  const port = peer.lastIndexOf(':')
  return port < 0 ? peer : peer.slice(0, port)
}
