/** One table, with all that it was made of. */
export interface Section {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** What a reader must know to read the table, and what is missing in it. */
  readonly notes: readonly string[]
  readonly figures: readonly Figure[]
}

/** All samples of one measurement, for the JSON. */
export interface Figure {
  readonly name: string
  /** What was measured: `croft`, or what stands beside it. */
  readonly of: string
  readonly unit: 'ms' | 'us' | 'per second' | 'bytes' | 'count'
  readonly samples: readonly number[]
  /** `targets.md` in numbers: the most (or the least) that is wanted, of the value or of its ratio to `beside`. */
  readonly target?: { readonly atMost?: number; readonly atLeast?: number; readonly beside?: string }
}
