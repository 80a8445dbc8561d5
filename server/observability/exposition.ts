/** What a collector of metrics reads: Prometheus's text format, version 0.0.4. */
export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels?: Labels
  readonly value: number
}

export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** As of now. Of a histogram under `_bucket`, `_sum` and `_count`. */
  samples(): readonly (Sample & { readonly suffix?: string })[]
}

/** Counts up. What it is counted under has few values: each is a line for ever. */
export class Counter implements Metric {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  add(labels: Labels, more = 1): void {
    const key = keyOf(labels)
    const known = this.#values.get(key)
    if (known === undefined) this.#values.set(key, { labels, value: more })
    else known.value += more
  }

  samples(): readonly Sample[] {
    return [...this.#values.values()]
  }
}

/** Read when it is asked for. */
export class Reading implements Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly #read: () => readonly Sample[] | number

  constructor(type: 'counter' | 'gauge', name: string, help: string, read: () => readonly Sample[] | number) {
    this.type = type
    this.name = name
    this.help = help
    this.#read = read
  }

  samples(): readonly Sample[] {
    const read = this.#read()
    return typeof read === 'number' ? [{ value: read }] : read
  }
}

/** How many of something were at most so much. */
export class Histogram implements Metric {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: readonly number[]
  readonly #values = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>()

  /** `bounds` go up. */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name
    this.help = help
    this.#bounds = bounds
  }

  observe(labels: Labels, value: number): void {
    const key = keyOf(labels)
    let known = this.#values.get(key)
    if (known === undefined) {
      known = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 }
      this.#values.set(key, known)
    }
    const at = this.#bounds.findIndex((bound) => value <= bound)
    const index = at < 0 ? this.#bounds.length : at
    known.counts[index] = (known.counts[index] ?? 0) + 1
    known.sum += value
  }

  samples(): readonly (Sample & { readonly suffix: string })[] {
    return [...this.#values.values()].flatMap(({ labels, counts, sum }) => {
      let below = 0
      const buckets = counts.map((count, at) => {
        below += count
        const le = at === this.#bounds.length ? '+Inf' : String(this.#bounds[at])
        return { suffix: '_bucket', labels: { ...labels, le }, value: below }
      })
      return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: below }]
    })
  }
}

export function expose(metrics: readonly Metric[]): string {
  return metrics.map(linesOf).join('')
}

function linesOf(metric: Metric): string {
  const { name, help, type } = metric
  const samples = metric.samples().map(({ suffix = '', labels = {}, value }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`)
    return `${name}${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numeral(value)}\n`
  })
  return `# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}\n# TYPE ${name} ${type}\n${samples.join('')}`
}

function escaped(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}

function numeral(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

function keyOf(labels: Labels): string {
  return Object.values(labels).join('\0')
}
