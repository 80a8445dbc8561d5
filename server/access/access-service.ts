import type { MessageInitShape } from '@bufbuild/protobuf'
import { type Duration, durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt'
import { type AccessService, Role, type TokenSchema } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import type { TokenRecord } from '../records/record-types.ts'
import { type RoleName, unauthenticated } from './caller.ts'
import type { Issued, Tokens } from './tokens.ts'

export interface AccessServiceDependencies {
  readonly tokens: Tokens
  readonly limits: Limits
  /** Ends what is under way with a token. */
  readonly cut: (tokenId: string, reason: Error) => void
}

export function accessService({ tokens, limits, cut }: AccessServiceDependencies): Handlers<typeof AccessService> {
  return {
    getCaller: async (_request, { caller: { owner, role, tokenId = '' } }) => ({
      ownerId: owner,
      role: ROLES[role],
      tokenId,
    }),

    createToken: async ({ name, ownerId, role, expiresIn }) =>
      issuedMessage(
        await tokens.create({
          name,
          owner: ownerId,
          role: parseRole(role),
          expiresInMs: parseTime(expiresIn, 'expires_in'),
        }),
      ),

    listTokens: async ({ ownerId, pageSize, pageToken }) => {
      const { items, nextPageToken } = tokens.list(ownerId, pageSize, pageToken)
      return { tokens: items.map(tokenMessage), nextPageToken }
    },

    revokeToken: async ({ tokenId }) => {
      await tokens.revoke(tokenId)
      cut(tokenId, unauthenticated('the token was revoked', 'token_invalid'))
      return {}
    },

    rotateToken: async ({ tokenId, overlap, expiresIn }) => {
      const overlapMs = parseTime(overlap, 'overlap') ?? 0
      if (overlapMs > limits.tokenOverlapMaxMs) {
        throw invalid('overlap', `must be at most ${limits.tokenOverlapMaxMs / 1000} s`)
      }
      const issued = await tokens.rotate(tokenId, { overlapMs, expiresInMs: parseTime(expiresIn, 'expires_in') })
      if (overlapMs === 0) cut(tokenId, unauthenticated('the token has another secret now', 'token_invalid'))
      return issuedMessage(issued)
    },
  }
}

const ROLES: Readonly<Record<RoleName, Role>> = { admin: Role.ADMIN, user: Role.USER, 'read-only': Role.READ_ONLY }

function parseRole(role: Role): RoleName {
  const found = (Object.keys(ROLES) as RoleName[]).find((name) => ROLES[name] === role)
  if (found === undefined) throw invalid('role', 'must be ROLE_ADMIN, ROLE_USER or ROLE_READ_ONLY')
  return found
}

function parseTime(duration: Duration | undefined, field: string): number | undefined {
  if (duration === undefined) return undefined
  const ms = durationMs(duration)
  if (!(ms > 0 && Number.isSafeInteger(Math.ceil(ms)))) throw invalid(field, 'must be more than 0')
  return ms
}

function issuedMessage({ record, text }: Issued) {
  return { token: tokenMessage(record), secret: text }
}

function tokenMessage(record: TokenRecord): MessageInitShape<typeof TokenSchema> {
  const { id, name, owner, role, createdAtMs, expiresAtMs, rotatedAtMs } = record
  return {
    id,
    name,
    ownerId: owner,
    role: ROLES[role],
    createdAt: timestampFromMs(createdAtMs),
    ...(expiresAtMs === undefined ? {} : { expiresAt: timestampFromMs(expiresAtMs) }),
    ...(rotatedAtMs === undefined ? {} : { rotatedAt: timestampFromMs(rotatedAtMs) }),
  }
}
