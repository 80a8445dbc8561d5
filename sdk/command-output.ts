import type { CommandOutcome, CommandUsage } from './errors.ts'

/** A piece of output, as it came. `text` has whole characters: one cut in two comes with the next piece. */
export interface OutputEvent {
  readonly type: 'stdout' | 'stderr'
  readonly data: Uint8Array
  readonly text: string
}

export interface CommandResult extends CommandOutcome {
  /** The bytes as they were. */
  readonly stdoutBytes: Uint8Array
  readonly stderrBytes: Uint8Array
}

export interface CommandEnd {
  readonly exitCode: number
  readonly signal: string
  readonly durationMs: number
  readonly oomKilled?: boolean
  readonly usage?: CommandUsage
}

/** What an iterator may leave unread before the command is made to wait. */
const MAX_UNREAD_BYTES = 1024 * 1024

/**
 * The output of one command: what was kept of it, for the result, and its passing on to iterators. An
 * iterator begins with what was kept, then gets all that comes; while one lags, `push` waits.
 */
export class CommandOutput {
  readonly #maxBytes: number
  readonly #events: OutputEvent[] = []
  readonly #kept = { stdout: 0, stderr: 0 }
  readonly #decoders = { stdout: utf8(), stderr: utf8() }
  readonly #readers = new Set<Reader>()
  /** Whose end is missing. */
  readonly #cut = new Set<OutputEvent['type']>()
  #ended: { error?: unknown } | undefined

  /** `maxBytes`: how much of stdout, and of stderr, is kept. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  toEvent(type: OutputEvent['type'], data: Uint8Array): OutputEvent {
    return { type, data, text: this.#decoders[type].decode(data, { stream: true }) }
  }

  /** To be asked at the end: where the output stops in the middle of a character, what is left of it. */
  remains(): OutputEvent[] {
    return (['stdout', 'stderr'] as const).flatMap((type) => {
      const rest = this.#decoders[type].decode()
      return rest === '' ? [] : [{ type, data: new Uint8Array(), text: rest }]
    })
  }

  async push(event: OutputEvent): Promise<void> {
    const room = this.#maxBytes - this.#kept[event.type]
    const kept = event.data.length <= room ? event : { ...event, data: event.data.subarray(0, Math.max(room, 0)) }
    if (kept !== event) this.#cut.add(event.type)
    if (kept.data.length > 0) this.#events.push(kept)
    this.#kept[event.type] += kept.data.length
    for (const reader of this.#readers) await reader.push(event)
  }

  end(error?: unknown): void {
    this.#ended = error === undefined ? {} : { error }
    for (const reader of this.#readers) reader.end(this.#ended)
  }

  outcome(exit: CommandEnd): CommandResult {
    const stdoutBytes = this.#bytes('stdout')
    const stderrBytes = this.#bytes('stderr')
    return {
      exitCode: exit.exitCode,
      stdout: text(stdoutBytes, this.#cut.has('stdout')),
      stderr: text(stderrBytes, this.#cut.has('stderr')),
      ...(exit.signal === '' ? {} : { signal: exit.signal }),
      durationMs: exit.durationMs,
      truncated: this.#cut.size > 0,
      oomKilled: exit.oomKilled ?? false,
      ...(exit.usage === undefined ? {} : { usage: exit.usage }),
      stdoutBytes,
      stderrBytes,
    }
  }

  /** `onLeave` is called when the iteration is left before the end of the output. */
  async *read(onLeave: () => void): AsyncGenerator<OutputEvent, void, undefined> {
    const reader = new Reader(this.#events)
    if (this.#ended !== undefined) reader.end(this.#ended)
    this.#readers.add(reader)
    let finished = false
    try {
      for (;;) {
        const event = await reader.next()
        if (event === undefined) break
        yield event
      }
      finished = true
    } catch (error) {
      finished = true
      throw error
    } finally {
      this.#readers.delete(reader)
      reader.close()
      if (!finished) onLeave()
    }
  }

  #bytes(type: OutputEvent['type']): Buffer {
    return Buffer.concat(this.#events.filter((event) => event.type === type).map((event) => event.data))
  }
}

class Reader {
  readonly #queue: OutputEvent[]
  #unreadBytes = 0
  #ended: { error?: unknown } | undefined
  #closed = false
  #wakeReader: () => void = () => undefined
  #wakeWriter: () => void = () => undefined

  constructor(kept: readonly OutputEvent[]) {
    this.#queue = [...kept]
  }

  async push(event: OutputEvent): Promise<void> {
    this.#queue.push(event)
    this.#unreadBytes += event.data.length
    this.#wakeReader()
    while (this.#unreadBytes > MAX_UNREAD_BYTES && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve
      })
    }
  }

  end(how: { error?: unknown }): void {
    this.#ended = how
    this.#wakeReader()
  }

  close(): void {
    this.#closed = true
    this.#wakeWriter()
  }

  async next(): Promise<OutputEvent | undefined> {
    for (;;) {
      const event = this.#queue.shift()
      if (event !== undefined) {
        // Events from before this reader came were never counted.
        this.#unreadBytes = Math.max(this.#unreadBytes - event.data.length, 0)
        this.#wakeWriter()
        return event
      }
      if (this.#ended !== undefined) {
        if ('error' in this.#ended) throw this.#ended.error
        return undefined
      }
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
    }
  }
}

/** A character that was cut in two is left out. */
function text(bytes: Buffer, cut: boolean): string {
  return cut ? utf8().decode(bytes, { stream: true }) : bytes.toString('utf8')
}

function utf8() {
  return new TextDecoder('utf-8', { ignoreBOM: true })
}
