/** Why there was no connection. The first three are the rules' word, the others are not. */
export type RefusalReason = 'not_allowed' | 'private_address' | 'malformed' | 'unresolved' | 'unreachable'

/** No connection: what a program inside is told, by whichever protocol it asked. */
export class Refusal extends Error {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super(message)
    this.name = 'Refusal'
    this.reason = reason
  }
}
