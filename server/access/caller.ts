import { CroftError } from '../errors/croft-error.ts'

export type RoleName = 'admin' | 'user' | 'read-only'

/** As whom a call is made. */
export interface Caller {
  /** Whose objects it makes, and sees. Empty: the server's own user. */
  readonly owner: string
  readonly role: RoleName
  /** For logs: `uid 1000`, `token tok_…`. */
  readonly name: string
  readonly tokenId?: string
}

/** An admin sees what every owner has. */
export function sees({ role, owner }: Caller, ownerOfIt: string): boolean {
  return role === 'admin' || owner === ownerOfIt
}

export function unauthenticated(problem: string, reason: string): CroftError {
  return new CroftError('UNAUTHENTICATED', problem, { reason })
}
