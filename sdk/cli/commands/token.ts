import { type Command, InvalidArgumentError } from 'commander'
import { Server } from '../../server.ts'
import { type IssuedToken, TOKEN_ROLES, type Token, type TokenRole } from '../../tokens.ts'
import { parseDuration } from '../arguments.ts'
import { type ServerFlags, withServerFlags } from '../flags.ts'
import { printJson, printTable } from '../report.ts'

interface CreateFlags extends ServerFlags {
  readonly owner?: string
  readonly role: TokenRole
  readonly expires?: number
}

interface RotateFlags extends ServerFlags {
  readonly overlap?: number
  readonly expires?: number
}

export function addToken(program: Command): void {
  const token = program
    .command('token')
    .summary('say who may use a server')
    .description(
      'A token lets somebody call a server as an owner, who sees what is his own and nothing else. Clients have it in ' +
        'CROFT_TOKEN. Whoever makes tokens is an admin: by a token of that role, or as the user of the server itself, ' +
        'by its unix socket.',
    )
    .addHelpText(
      'after',
      `
Examples:
  croft token create laptop --owner alice --expires 90d --server unix:///run/croft-0/croft.sock
  CROFT_SERVER=https://croft.example.org CROFT_TOKEN=croft_… croft ls`,
    )
  for (const add of [addCreateToken, addList, addRevoke, addRotate]) add(token)
  for (const command of token.commands) {
    command.exitOverride().showHelpAfterError(`(croft token ${command.name()} --help)`)
  }
}

function addCreateToken(token: Command): void {
  const command = token
    .command('create')
    .summary('make one, and print it')
    .description('Makes a token and prints it. It is not kept, and cannot be shown again.')
    .argument('<name>', 'to know it by in the list')
    .option('--owner <name>', 'whose sandboxes it is for; only an admin may be without')
    .option('--role <role>', `one of ${TOKEN_ROLES.join(', ')}`, parseRole, 'user')
    .option('--expires <time>', 'it ends after 12h, 90d (default: when it is revoked)', parseDuration)
  withServerFlags(command).action(async (name: string, { owner, role, expires, ...flags }: CreateFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const options = {
      ...(owner === undefined ? {} : { owner }),
      ...(expires === undefined ? {} : { expiresInMs: expires }),
    }
    print(await server.tokens.create({ name, role, ...options }), flags)
  })
}

function addList(token: Command): void {
  const command = token
    .command('list')
    .summary('list them')
    .description('Lists tokens, the oldest first, those that have expired too.')
    .option('--owner <name>', 'only those of this owner')
  withServerFlags(command).action(async (flags: ServerFlags & { readonly owner?: string }) => {
    await using server = await Server.connect(flags.server ?? {})
    const tokens = await server.tokens.list(flags.owner)
    if (flags.json === true) printJson({ tokens })
    else printTable(['ID', 'ROLE', 'OWNER', 'CREATED', 'EXPIRES', 'NAME'], tokens.map(rowOf))
  })
}

function addRevoke(token: Command): void {
  const command = token
    .command('revoke')
    .summary('end some')
    .description('Ends tokens for good, and what is under way with them.')
    .argument('<token...>', 'their ids')
  withServerFlags(command).action(async (ids: string[], flags: ServerFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    for (const id of ids) {
      await server.tokens.revoke(id)
      if (flags.json !== true) process.stdout.write(`${id}\n`)
    }
    if (flags.json === true) printJson({ revoked: ids })
  })
}

function addRotate(token: Command): void {
  const command = token
    .command('rotate')
    .summary('give one another secret, and print it')
    .description(
      'Gives a token another secret and prints it. The one before ends at once, with what is under way, or after a time.',
    )
    .argument('<token>', 'its id')
    .option('--overlap <time>', 'how long the one before is taken too', parseDuration)
    .option('--expires <time>', 'it ends after this time from now (default: as before)', parseDuration)
  withServerFlags(command).action(async (id: string, { overlap, expires, ...flags }: RotateFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const times = {
      ...(overlap === undefined ? {} : { overlapMs: overlap }),
      ...(expires === undefined ? {} : { expiresInMs: expires }),
    }
    print(await server.tokens.rotate(id, times), flags)
  })
}

function print(token: IssuedToken, flags: ServerFlags): void {
  if (flags.json === true) printJson(token)
  else process.stdout.write(`${token.secret}\n`)
}

function rowOf({ id, role, owner, createdAt, expiresAt, name }: Token): string[] {
  return [id, role, owner, createdAt?.toISOString() ?? '-', expiresAt?.toISOString() ?? 'never', name]
}

function parseRole(text: string): TokenRole {
  const role = TOKEN_ROLES.find((known) => known === text)
  if (role === undefined) throw new InvalidArgumentError(`It is one of ${TOKEN_ROLES.join(', ')}`)
  return role
}
