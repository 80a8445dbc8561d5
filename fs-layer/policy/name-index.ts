import type { ByteString } from '../protocol/filesystem.ts'
import { MAX_CACHED_NAMES, MIN_CACHED_COMPARISONS } from './limits.ts'
import type { NameGlob } from './name-glob.ts'

/** The set of patterns that a name matches, by number. Equal sets are one object until `forget`. */
export interface Signature {
  readonly matched: ReadonlySet<number>
}

/**
 * Which of a policy's name patterns match a name. This does not depend on where the name stands, so all
 * directories share it. Plain names cost one look in a table, however many rules there are; of the others
 * only those are tried whose first or last byte fits.
 */
export class NameIndex {
  readonly #literals = new Map<ByteString, number>()
  readonly #byFirst: Numbered[][] = Array.from({ length: 256 }, () => [])
  readonly #byLast: Numbered[][] = Array.from({ length: 256 }, () => [])
  readonly #rest: Numbered[] = []
  #signatures = makeSignature(new Set())
  #signatureCount = 1
  // Two generations: what is still asked for moves from the old to the young one, the rest goes with the old.
  #young = new Map<ByteString, InternedSignature>()
  #old = new Map<ByteString, InternedSignature>()

  /** A pattern's number is its place in `globs`; no two are equal, none matches every name. */
  constructor(globs: readonly NameGlob[]) {
    for (const [number, glob] of globs.entries()) {
      if (glob.literal !== null) this.#literals.set(glob.literal, number)
      else this.#listFor(glob).push({ number, glob })
    }
  }

  signatureOf(name: ByteString): Signature {
    const remembered = this.#young.get(name)
    return remembered ?? this.#signatureFromOld(name) ?? this.#match(name)
  }

  /** Numbers held by the signatures. */
  get words(): number {
    return this.#signatureCount
  }

  forget(): void {
    this.#signatures = makeSignature(new Set())
    this.#signatureCount = 1
    this.#young.clear()
    this.#old.clear()
  }

  #listFor(glob: NameGlob): Numbered[] {
    return this.#byLast[glob.lastByte] ?? this.#byFirst[glob.firstByte] ?? this.#rest
  }

  #signatureFromOld(name: ByteString): Signature | undefined {
    const signature = this.#old.get(name)
    if (signature !== undefined) this.#remember(name, signature)
    return signature
  }

  #match(name: ByteString): Signature {
    const ending = this.#byLast[name.charCodeAt(name.length - 1)] ?? []
    const beginning = this.#byFirst[name.charCodeAt(0)] ?? []
    const literal = this.#literals.get(name)
    let signature = literal === undefined ? this.#signatures : this.#extended(this.#signatures, literal)
    for (const list of [ending, beginning, this.#rest]) {
      for (const { number, glob } of list) if (glob.matches(name)) signature = this.#extended(signature, number)
    }
    const comparisons = ending.length + beginning.length + this.#rest.length
    if (comparisons >= MIN_CACHED_COMPARISONS) this.#remember(name, signature)
    return signature
  }

  #extended(signature: InternedSignature, number: number): InternedSignature {
    let extended = signature.extensions.get(number)
    if (extended === undefined) {
      extended = makeSignature(new Set(signature.matched).add(number))
      signature.extensions.set(number, extended)
      this.#signatureCount += extended.matched.size
    }
    return extended
  }

  #remember(name: ByteString, signature: InternedSignature): void {
    if (this.#young.size >= MAX_CACHED_NAMES) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(name, signature)
  }
}

interface Numbered {
  readonly number: number
  readonly glob: NameGlob
}

/** Patterns are always tried in the same order, so a set is always reached by the same extensions. */
interface InternedSignature extends Signature {
  readonly extensions: Map<number, InternedSignature>
}

function makeSignature(matched: ReadonlySet<number>): InternedSignature {
  return { matched, extensions: new Map() }
}
