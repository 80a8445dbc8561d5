import type { Level } from 'level'
import { type Page, type PageRequest, pageOf } from './page.ts'

/**
 * Records of one kind, by id, in the order in which they were made. Reading is from memory. A change is on the
 * disk, synced, before it is in memory or its promise resolves: what was answered once is not forgotten.
 *
 * The caller sees to it that changes of one record follow one another.
 */
export class Table<T extends { readonly id: string; readonly sequence: number }> {
  readonly #db: Level<string, unknown>
  readonly #prefix: string
  readonly #records: Map<string, T>
  #lastSequence: number

  private constructor(db: Level<string, unknown>, prefix: string, records: T[]) {
    this.#db = db
    this.#prefix = prefix
    records.sort((a, b) => a.sequence - b.sequence)
    this.#records = new Map(records.map((record) => [record.id, record]))
    this.#lastSequence = records.at(-1)?.sequence ?? 0
  }

  static async load<T extends { readonly id: string; readonly sequence: number }>(
    db: Level<string, unknown>,
    kind: string,
  ): Promise<Table<T>> {
    const prefix = `${kind}!`
    // `"` follows `!`, so this is every key with the prefix.
    const values = await db.values({ gt: prefix, lt: `${kind}"` }).all()
    return new Table<T>(db, prefix, values as T[])
  }

  get size(): number {
    return this.#records.size
  }

  nextSequence(): number {
    this.#lastSequence += 1
    return this.#lastSequence
  }

  get(id: string): T | undefined {
    return this.#records.get(id)
  }

  values(): IterableIterator<T> {
    return this.#records.values()
  }

  async put(record: T): Promise<T> {
    await this.#db.put(this.#prefix + record.id, record, { sync: true })
    this.#records.set(record.id, record)
    return record
  }

  /** All or none. */
  async putAll(records: readonly T[]): Promise<void> {
    if (records.length === 0) return
    await this.#db.batch(
      records.map((value) => ({ type: 'put', key: this.#prefix + value.id, value })),
      { sync: true },
    )
    for (const record of records) this.#records.set(record.id, record)
  }

  /** Of one that is not there: nothing happens. */
  async delete(...ids: readonly string[]): Promise<void> {
    await this.#db.batch(
      ids.map((id) => ({ type: 'del', key: this.#prefix + id })),
      { sync: true },
    )
    for (const id of ids) this.#records.delete(id)
  }

  page(request: PageRequest, matches: (record: T) => boolean): Page<T> {
    return pageOf(this.#records.values(), request, matches)
  }
}
