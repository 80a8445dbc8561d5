import type { Root } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { type Caller, sees } from '../access/caller.ts'
import type { Quotas } from '../access/quotas.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, notFound } from '../errors/croft-error.ts'
import { checkId, newId } from '../records/ids.ts'
import type { MadeBy } from '../records/once.ts'
import type { Page } from '../records/page.ts'
import type { CodebaseRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { codebaseRoots, namesOf } from '../records/root-names.ts'

export interface CodebasesDependencies {
  readonly store: Store
  readonly records: Records
  readonly serial: Serial
  readonly quotas: Pick<Quotas, 'reserve'>
  readonly nowMs: () => number
}

/**
 * Names for versions of trees. A version is a root in the store; the record says which one is current, and a
 * root name keeps it from being collected. Sandboxes hold on to the version they were made from.
 */
export class Codebases {
  readonly #limits: Limits
  readonly #store: Store
  readonly #records: Records
  readonly #serial: Serial
  readonly #quotas: CodebasesDependencies['quotas']
  readonly #nowMs: () => number
  readonly #emptyRoot: string

  constructor(options: { limits: Limits; emptyRoot: string }, dependencies: CodebasesDependencies) {
    this.#limits = options.limits
    this.#emptyRoot = options.emptyRoot
    this.#store = dependencies.store
    this.#records = dependencies.records
    this.#serial = dependencies.serial
    this.#quotas = dependencies.quotas
    this.#nowMs = dependencies.nowMs
  }

  /** The version with nothing in it. */
  get emptyRoot(): string {
    return this.#emptyRoot
  }

  /** With `root` unset, an empty one. */
  async create(name: string, ownerId: string, root = this.#emptyRoot, madeBy?: MadeBy): Promise<CodebaseRecord> {
    this.checkNew(name, ownerId)
    using _ = this.#quotas.reserve(ownerId, { bytes: this.#store.rootSync(root).bytes })
    const now = this.#nowMs()
    const id = newId('cb')
    await this.#store.setRoots(codebaseRoots({ id, root }))
    const sequence = this.#records.codebases.nextSequence()
    const by = madeBy === undefined ? {} : { madeBy }
    const record = { id, sequence, name, ownerId, root, createdAtMs: now, updatedAtMs: now, ...by }
    return await this.#records.codebases.put(record)
  }

  /** Throws where a codebase of that name and owner could not be made. */
  checkNew(name: string, ownerId: string): void {
    checkText(name, 'name', this.#limits.maxNameBytes)
    if (name.trim() === '') throw invalid('name', 'is missing')
    checkText(ownerId, 'owner_id', this.#limits.maxNameBytes)
    if (this.#records.codebases.size >= this.#limits.maxCodebases) {
      throw new CroftError('RESOURCE_EXHAUSTED', `there are ${this.#limits.maxCodebases} codebases, which is the limit`)
    }
  }

  /** Those for which `matches`. */
  select(matches: (record: CodebaseRecord) => boolean): CodebaseRecord[] {
    return [...this.#records.codebases.values()].filter(matches)
  }

  get(id: string): CodebaseRecord {
    const record = this.#records.codebases.get(checkId('cb', id, 'codebase_id'))
    if (record === undefined) throw notFound('codebase', id)
    return record
  }

  rootOf(record: CodebaseRecord): Root {
    return this.#store.rootSync(record.root)
  }

  list(ownerId: string, pageSize: number, pageToken: string, caller: Caller): Page<CodebaseRecord> {
    const { pageSizeDefault: defaultSize, pageSizeMax: maxSize } = this.#limits
    return this.#records.codebases.page(
      { pageSize, pageToken, defaultSize, maxSize },
      (record) => (ownerId === '' || record.ownerId === ownerId) && sees(caller, record.ownerId),
    )
  }

  /**
   * Gives the codebase another version, made by `edit` from the current one. Edits of one codebase follow one
   * another, so that of two at once neither is lost.
   */
  change(id: string, edit: (current: CodebaseRecord) => Promise<string>): Promise<CodebaseRecord> {
    return this.#serial.run(id, async () => {
      const current = this.get(id)
      const root = await edit(current)
      if (root === current.root) return current
      const bytes = this.#store.rootSync(root).bytes - this.rootOf(current).bytes
      using _ = this.#quotas.reserve(current.ownerId, { bytes })
      await this.#store.setRoots(codebaseRoots({ id, root }))
      return await this.#records.codebases.put({ ...current, root, updatedAtMs: this.#nowMs() })
    })
  }

  /** FAILED_PRECONDITION while a sandbox is made from it: a sandbox without its codebase could not be listed with it. */
  delete(id: string): Promise<void> {
    return this.#serial.run(checkId('cb', id, 'codebase_id'), async () => {
      const codebase = this.get(id)
      const users = [...this.#records.sandboxes.values()].filter((sandbox) => sandbox.codebaseId === id)
      if (users.length > 0) {
        const maxShown = 5
        const shown = users.slice(0, maxShown).map((sandbox) => sandbox.id)
        const more = users.length > maxShown ? ` and ${users.length - maxShown} more` : ''
        throw new CroftError(
          'FAILED_PRECONDITION',
          `codebase ${id} is in use by ${shown.join(', ')}${more}: destroy them first`,
          { reason: 'codebase_in_use' },
        )
      }
      await this.#records.codebases.delete(id)
      await this.#store.deleteRoot(...namesOf(codebaseRoots(codebase)))
    })
  }
}

/** For names that are shown to people. */
export function checkText(text: string, field: string, maxBytes: number): void {
  if (Buffer.byteLength(text) > maxBytes) throw invalid(field, `is longer than ${maxBytes} bytes`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) throw invalid(field, 'contains control characters')
}
