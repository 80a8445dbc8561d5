export type PolicyErrorCode =
  | 'invalid-pattern'
  /** The type, level or priority of a rule. */
  | 'invalid-rule'
  | 'too-many-rules'
  | 'policy-too-large'
  | 'unknown-preset'
  | 'invalid-preset'

export interface PolicyErrorData {
  /** A clause that says what is wrong and, where it can be said, what to write instead. */
  readonly reason: string
  /** Of the rule in the list that was given. */
  readonly index?: number
  readonly pattern?: string
  /** Where in the pattern, in UTF-16 code units. */
  readonly position?: number
  /** The field of the rule or preset. */
  readonly field?: string
}

/** Rules or presets that cannot be taken as they are. Nothing is in force when it is thrown. */
export class PolicyError extends Error {
  readonly code: PolicyErrorCode
  readonly reason: string
  readonly index: number | undefined
  readonly pattern: string | undefined
  readonly position: number | undefined
  readonly field: string | undefined

  constructor(code: PolicyErrorCode, data: PolicyErrorData) {
    super(describe(data))
    this.name = 'PolicyError'
    this.code = code
    this.reason = data.reason
    this.index = data.index
    this.pattern = data.pattern
    this.position = data.position
    this.field = data.field
  }
}

function describe({ reason, index, pattern, position, field }: PolicyErrorData): string {
  const where = [
    index === undefined ? undefined : `rule ${index}`,
    field,
    pattern === undefined ? undefined : JSON.stringify(pattern),
    position === undefined ? undefined : `at ${position}`,
  ].filter((part) => part !== undefined)
  return where.length === 0 ? reason : `${where.join(', ')}: ${reason}`
}
