import type { Connection } from './connection.ts'

/** A connection that several hold; the last one who lets go closes it, unless it belongs to somebody else. */
export class SharedConnection {
  readonly connection: Connection
  readonly #owned: boolean
  #holders = 1

  constructor({ connection, owned }: { connection: Connection; owned: boolean }) {
    this.connection = connection
    this.#owned = owned
  }

  share(): this {
    this.#holders += 1
    return this
  }

  release(): void {
    this.#holders -= 1
    if (this.#holders === 0 && this.#owned) this.connection.close()
  }
}
