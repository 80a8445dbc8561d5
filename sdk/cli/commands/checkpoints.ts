import type { Command } from 'commander'
import type { Checkpoint, RollbackResult } from '../../checkpoints.ts'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, printTable, safeText } from '../report.ts'

export function addCheckpoints(program: Command): void {
  const command = program
    .command('checkpoints')
    .summary('list what a sandbox was before its last commands')
    .description(
      'Lists the checkpoints of a sandbox, the oldest first. They are made before each command that follows a change, ' +
        'where the sandbox was made with --checkpoint each-command, and before each rollback and discard.',
    )
    .argument('<sandbox>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    const checkpoints = await sandbox.checkpoints()
    if (flags.json === true) printJson({ checkpoints })
    else printTable(['ID', 'CREATED', 'FILES', 'BYTES', 'BEFORE'], checkpoints.map(rowOf))
  })
}

export function addRollback(program: Command): void {
  const command = program
    .command('rollback')
    .summary('make a sandbox what it was')
    .description(
      'Makes a sandbox what it was at a checkpoint, or is in a snapshot, whether it runs or not. What the rules hide stays. ' +
        'A file that a program has open stays what it is for that program. Prints the id of the checkpoint that leads back.',
    )
    .argument('<sandbox>', 'its id')
    .argument('<checkpoint>', 'the id of a checkpoint or snapshot')
    .addHelpText(
      'after',
      `
Examples:
  croft checkpoints sb_0123456789abcdef
  croft rollback sb_0123456789abcdef ckpt_0123456789abcdef`,
    )
  withServerFlags(command).action(async (id: string, checkpoint: string, flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    report(await sandbox.rollback(checkpoint), flags)
  })
}

export function addDiscard(program: Command): void {
  const command = program
    .command('discard')
    .summary('undo what a sandbox changed')
    .description(
      'Undoes all changes of a sandbox, or those at some paths and below, whether it runs or not. What the rules hide stays. ' +
        'Prints the id of the checkpoint that leads back.',
    )
    .argument('<sandbox>', 'its id')
    .argument('[path...]', 'from the root of the view; without one everything')
    .addHelpText(
      'after',
      `
Examples:
  croft discard sb_0123456789abcdef src/generated README.md`,
    )
  withServerFlags(command).action(async (id: string, paths: string[], flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    report(await sandbox.discard(paths), flags)
  })
}

function report(result: RollbackResult, flags: ServerFlags): void {
  if (flags.json === true) return printJson(result)
  for (const path of result.kept) process.stderr.write(`croft: ${safeText(path)} stays: something else is there\n`)
  process.stdout.write(`${result.before.id}\n`)
}

function rowOf({ id, createdAt, files, sizeBytes, reason, command }: Checkpoint): string[] {
  const before = command === '' ? `(${reason})` : command.replaceAll('\n', ' ')
  return [id, createdAt?.toISOString() ?? '-', String(files), String(sizeBytes), before]
}
