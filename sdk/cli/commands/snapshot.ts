import type { Command } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { Server } from '../../server.ts'
import type { Snapshot } from '../../snapshots.ts'
import { parseLabel } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, printTable } from '../report.ts'

interface CreateFlags extends ServerFlags {
  readonly name?: string
  readonly label?: Readonly<Record<string, string>>
}

interface ListFlags extends ServerFlags {
  readonly sandbox?: string
  readonly codebase?: string
  readonly name?: string
}

interface PublishFlags extends ServerFlags {
  readonly codebase?: string
  readonly name?: string
}

export function addSnapshot(program: Command): void {
  const snapshot = program
    .command('snapshot')
    .summary('keep what a sandbox is now, and go back to it')
    .description(
      'A snapshot is the whole view of a sandbox as it was at one moment, what the rules hide too. It stays until it ' +
        'is deleted, whatever becomes of the sandbox.',
    )
    .addHelpText(
      'after',
      `
Examples:
  SNAP=$(croft snapshot create sb_0123456789abcdef --name before)
  croft snapshot restore sb_0123456789abcdef $SNAP
  croft create --snapshot $SNAP`,
    )
  for (const add of [addMake, addList, addGet, addDelete, addRestore, addPublish]) add(snapshot)
  for (const command of snapshot.commands) {
    command.exitOverride().showHelpAfterError(`(croft snapshot ${command.name()} --help)`)
  }
}

function addMake(snapshot: Command): void {
  const command = snapshot
    .command('create')
    .summary('make one, and print its id')
    .description(
      'Keeps the view of a sandbox as it is now, and prints the id of the snapshot. Commands go on meanwhile.',
    )
    .argument('<sandbox>', 'its id')
    .option('--name <name>', 'to find it by')
    .option('--label <key=value>', 'repeatable', parseLabel)
  withServerFlags(command).action(async (id: string, flags: CreateFlags) => {
    const made = await interruptible(async (signal) => {
      await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
      const labels = flags.label === undefined ? {} : { labels: flags.label }
      return await sandbox.snapshot({ ...labels, ...(flags.name === undefined ? {} : { name: flags.name }), signal })
    })
    if (made.skipped > 0)
      process.stderr.write(`croft: without ${made.skipped} FIFOs or sockets, which no snapshot has\n`)
    if (flags.json === true) printJson(made)
    else process.stdout.write(`${made.id}\n`)
  })
}

function addList(snapshot: Command): void {
  const command = snapshot
    .command('list')
    .summary('list them')
    .description('Lists snapshots, the oldest first.')
    .option('--sandbox <id>', 'only those of this sandbox')
    .option('--codebase <id>', 'only those of sandboxes of this codebase')
    .option('--name <name>', 'only those of this name')
  withServerFlags(command).action(async (flags: ListFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const snapshots = await server.snapshots.list({
      ...(flags.sandbox === undefined ? {} : { sandboxId: flags.sandbox }),
      ...(flags.codebase === undefined ? {} : { codebaseId: flags.codebase }),
      ...(flags.name === undefined ? {} : { name: flags.name }),
    })
    if (flags.json === true) printJson({ snapshots })
    else printTable(['ID', 'SANDBOX', 'FILES', 'BYTES', 'CREATED', 'NAME'], snapshots.map(rowOf))
  })
}

function addGet(snapshot: Command): void {
  const command = snapshot
    .command('get')
    .summary('show one')
    .description('Shows what is known of a snapshot.')
    .argument('<snapshot>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const found = await server.snapshots.get(id)
    if (flags.json === true) printJson(found)
    else printTable(['WHAT', ''], Object.entries({ ...found, labels: labelsOf(found) }).map(lineOf))
  })
}

function addDelete(snapshot: Command): void {
  const command = snapshot
    .command('delete')
    .summary('delete some')
    .description('Deletes snapshots. Sandboxes and codebases that were made of them stay as they are.')
    .argument('<snapshot...>', 'their ids')
  withServerFlags(command).action(async (ids: string[], flags: ServerFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    for (const id of ids) {
      await server.snapshots.delete(id)
      if (flags.json !== true) process.stdout.write(`${id}\n`)
    }
    if (flags.json === true) printJson({ deleted: ids })
  })
}

function addRestore(snapshot: Command): void {
  const command = snapshot
    .command('restore')
    .summary('go back to one in a sandbox')
    .description(
      'A sandbox that does not run sees what the snapshot has; what it changed since is gone. Its rules stay.',
    )
    .argument('<sandbox>', 'its id')
    .argument('<snapshot>', 'its id')
  withServerFlags(command).action(async (id: string, snapshotId: string, flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    const info = await sandbox.restore(snapshotId)
    if (flags.json === true) printJson(info)
  })
}

function addPublish(snapshot: Command): void {
  const command = snapshot
    .command('publish')
    .summary('make one the version of a codebase, and print its id')
    .description('Makes a snapshot the new version of a codebase, or a codebase of its own.')
    .argument('<snapshot>', 'its id')
    .option('--codebase <id>', 'the codebase that gets it as its version')
    .option('--name <name>', 'make a new codebase of this name')
  withServerFlags(command).action(async (id: string, flags: PublishFlags) => {
    const target = publishTarget(flags)
    await using server = await Server.connect(flags.server ?? {})
    const codebaseId = await server.snapshots.publish(id, target)
    if (flags.json === true) printJson({ codebaseId })
    else process.stdout.write(`${codebaseId}\n`)
  })
}

function publishTarget({ codebase, name }: PublishFlags) {
  if (codebase !== undefined && name === undefined) return { codebaseId: codebase }
  if (name !== undefined && codebase === undefined) return { name }
  throw new InvalidArgumentError('Give either --codebase or --name', 'codebase')
}

function rowOf({ id, sandboxId, files, sizeBytes, createdAt, name }: Snapshot): string[] {
  return [id, sandboxId, String(files), String(sizeBytes), createdAt?.toISOString() ?? '-', name]
}

function labelsOf({ labels }: Snapshot): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')
}

function lineOf([what, value]: [string, unknown]): string[] {
  return [what, value instanceof Date ? value.toISOString() : String(value)]
}
