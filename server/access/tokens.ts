import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { checkText } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, notFound } from '../errors/croft-error.ts'
import { checkId, newId } from '../records/ids.ts'
import type { Page } from '../records/page.ts'
import type { TokenRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import type { RoleName } from './caller.ts'

export interface TokensDependencies {
  readonly records: Pick<Records, 'tokens'>
  readonly nowMs: () => number
}

export interface TokenSpec {
  readonly name: string
  readonly owner: string
  readonly role: RoleName
  readonly expiresInMs?: number | undefined
}

/** `text` is what a client sends, and is nowhere else. */
export interface Issued {
  readonly record: TokenRecord
  readonly text: string
}

/** 256 random bits need no slow hash: nobody goes through them all. */
const SECRET_BYTES = 32
const FORM = /^croft_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const NO_HASH = Buffer.alloc(32)

/** Who may call, by what they know. The id in a token finds its record, the secret proves it. */
export class Tokens {
  readonly #limits: Limits
  readonly #records: Records['tokens']
  readonly #nowMs: () => number

  constructor(options: { limits: Limits }, { records, nowMs }: TokensDependencies) {
    this.#limits = options.limits
    this.#records = records.tokens
    this.#nowMs = nowMs
  }

  /** Whether there are any, whatever has become of them. */
  get any(): boolean {
    return this.#records.size > 0
  }

  async create({ name, owner, role, expiresInMs }: TokenSpec): Promise<Issued> {
    checkText(name, 'name', this.#limits.maxNameBytes)
    checkText(owner, 'owner_id', this.#limits.maxNameBytes)
    // Everything that the server's own user made is the empty owner's.
    if (owner === '' && role !== 'admin') throw invalid('owner_id', 'is missing: a token that is no admin has an owner')
    if (this.#records.size >= this.#limits.maxTokens) {
      throw new CroftError('RESOURCE_EXHAUSTED', `there are ${this.#limits.maxTokens} tokens, which is the limit`)
    }
    const id = newId('tok')
    const { text, hash } = newSecret(id)
    const sequence = this.#records.nextSequence()
    const record = { id, sequence, name, owner, role, hash, createdAtMs: this.#nowMs(), ...this.#expiry(expiresInMs) }
    return { record: await this.#records.put(record), text }
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming `token_id`. */
  get(id: string): TokenRecord {
    const record = this.#records.get(checkId('tok', id, 'token_id'))
    if (record === undefined) throw notFound('token', id)
    return record
  }

  list(owner: string, pageSize: number, pageToken: string): Page<TokenRecord> {
    const { pageSizeDefault: defaultSize, pageSizeMax: maxSize } = this.#limits
    return this.#records.page(
      { pageSize, pageToken, defaultSize, maxSize },
      (record) => owner === '' || record.owner === owner,
    )
  }

  async revoke(id: string): Promise<void> {
    await this.#records.delete(this.get(id).id)
  }

  /** The secret before is taken for `overlapMs` more, so that nobody who has it stands outside at once. */
  async rotate(id: string, { overlapMs, expiresInMs }: { overlapMs: number; expiresInMs?: number | undefined }) {
    const { before: _, ...record } = this.get(id)
    const now = this.#nowMs()
    if (expiresInMs === undefined && isOver(record, now)) {
      throw new CroftError('FAILED_PRECONDITION', `token ${id} has expired: say how long the new one is to last`, {
        field: 'expires_in',
        reason: 'token_expired',
      })
    }
    const { text, hash } = newSecret(id)
    const before = overlapMs > 0 ? { before: { hash: record.hash, untilMs: now + overlapMs } } : {}
    const rotated = { ...record, ...before, hash, rotatedAtMs: now, ...this.#expiry(expiresInMs) }
    return { record: await this.#records.put(rotated), text }
  }

  /**
   * Takes as long for a token that there is not as for one with another secret, and for one that has expired. The id
   * that the text names is told too, for counting who guesses.
   */
  find(text: string): { readonly record: TokenRecord | undefined; readonly id: string | undefined } {
    const [, digits, secret = ''] = FORM.exec(text) ?? []
    const id = digits === undefined ? undefined : `tok_${digits}`
    const record = id === undefined ? undefined : this.#records.get(id)
    const now = this.#nowMs()
    const hash = createHash('sha256').update(secret).digest()
    const isIt = equals(hash, record?.hash)
    const wasIt = equals(hash, record?.before?.hash)
    const { untilMs = Number.NEGATIVE_INFINITY } = record?.before ?? {}
    const valid = record !== undefined && (isIt || (wasIt && now < untilMs)) && !isOver(record, now)
    return { record: valid ? record : undefined, id: record?.id }
  }

  /** Whether it is there, and its time is not over. */
  isValid(id: string): boolean {
    const record = this.#records.get(id)
    return record !== undefined && !isOver(record, this.#nowMs())
  }

  #expiry(expiresInMs: number | undefined): { expiresAtMs?: number } {
    return expiresInMs === undefined ? {} : { expiresAtMs: this.#nowMs() + expiresInMs }
  }
}

function newSecret(id: string): { text: string; hash: string } {
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  const text = `croft_${id.slice('tok_'.length)}_${secret}`
  return { text, hash: createHash('sha256').update(secret).digest('hex') }
}

function equals(hash: Buffer, known: string | undefined): boolean {
  return timingSafeEqual(hash, known === undefined ? NO_HASH : Buffer.from(known, 'hex'))
}

function isOver({ expiresAtMs }: TokenRecord, nowMs: number): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= nowMs
}
