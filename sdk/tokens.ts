import { AccessService, type IssuedToken as IssuedMessage, Role, type Token as TokenMessage } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom, durationFrom } from './durations.ts'
import { InternalError } from './errors.ts'

export const TOKEN_ROLES = ['admin', 'user', 'read-only'] as const

/** An admin sees what every owner has; the others what is their owner's. */
export type TokenRole = (typeof TOKEN_ROLES)[number]

/** What a server knows of a token. */
export interface Token {
  readonly id: string
  readonly name: string
  /** Empty: the server's own user. */
  readonly owner: string
  readonly role: TokenRole
  readonly createdAt?: Date
  /** Absent: it lasts until it is revoked. */
  readonly expiresAt?: Date
  readonly rotatedAt?: Date
}

export interface IssuedToken extends Token {
  /** What a client sends. It cannot be shown again. */
  readonly secret: string
}

export interface TokenOptions {
  /** To find it by. */
  readonly name: string
  /** Whose sandboxes it is for; an admin's may be left out. */
  readonly owner?: string
  /** Default: user. */
  readonly role?: TokenRole
  readonly expiresInMs?: number
}

/** The tokens of a server. */
export class Tokens {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async create({ name, owner = '', role = 'user', expiresInMs }: TokenOptions): Promise<IssuedToken> {
    const request = { name, ownerId: owner, role: ROLES[role], ...time('expiresIn', expiresInMs) }
    return issuedFrom(await this.#connection.unary(AccessService.method.createToken, request))
  }

  /** In the order in which they were made, those that have expired among them. */
  async list(owner = ''): Promise<Token[]> {
    const found: Token[] = []
    let pageToken = ''
    do {
      const page = await this.#connection.unary(AccessService.method.listTokens, { ownerId: owner, pageToken })
      found.push(...page.tokens.map(tokenFrom))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    return found
  }

  /** Ends what is under way with it. */
  async revoke(id: string): Promise<void> {
    await this.#connection.unary(AccessService.method.revokeToken, { tokenId: id })
  }

  /** Another secret for it; the one before is taken for `overlapMs` more. */
  async rotate(
    id: string,
    { overlapMs, expiresInMs }: { overlapMs?: number; expiresInMs?: number } = {},
  ): Promise<IssuedToken> {
    const request = { tokenId: id, ...time('overlap', overlapMs), ...time('expiresIn', expiresInMs) }
    return issuedFrom(await this.#connection.unary(AccessService.method.rotateToken, request))
  }
}

const ROLES: Readonly<Record<TokenRole, Role>> = { admin: Role.ADMIN, user: Role.USER, 'read-only': Role.READ_ONLY }

function issuedFrom({ token, secret }: IssuedMessage): IssuedToken {
  if (token === undefined) throw new InternalError('The server answered without a token')
  return { ...tokenFrom(token), secret }
}

function tokenFrom({ id, name, ownerId, role, createdAt, expiresAt, rotatedAt }: TokenMessage): Token {
  return {
    id,
    name,
    owner: ownerId,
    role: TOKEN_ROLES.find((each) => ROLES[each] === role) ?? 'read-only',
    ...dateOf('createdAt', createdAt),
    ...dateOf('expiresAt', expiresAt),
    ...dateOf('rotatedAt', rotatedAt),
  }
}

function dateOf<K extends string>(key: K, timestamp: Parameters<typeof dateFrom>[0]): { [key in K]?: Date } {
  const date = dateFrom(timestamp)
  return date === undefined ? {} : ({ [key]: date } as { [key in K]?: Date })
}

function time(key: string, ms: number | undefined) {
  return ms === undefined ? {} : { [key]: durationFrom(ms, `${key}Ms`) }
}
