import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Command } from 'commander'
import type { As } from '../../as.ts'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { parseSandboxPath, type SandboxPath } from '../arguments.ts'
import { copyIn } from '../copy-in.ts'
import { copyOut } from '../copy-out.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson } from '../report.ts'

interface CpFlags extends ServerFlags {
  readonly owner?: boolean
}

export function addCp(program: Command): void {
  const command = program
    .command('cp')
    .summary('copy files into a sandbox or out of it')
    .description('Copies a file or a directory; one side is SB:PATH. A directory must not be there yet outside.')
    .argument('<from>', 'a local path, or sb_…:path')
    .argument('<to>', 'sb_…:path, or a local path')
    .option('--owner', 'with every right, whatever the rules say')
    .addHelpText(
      'after',
      `
Examples:
  croft cp input.csv sb_0123456789abcdef:data/input.csv
  croft cp sb_0123456789abcdef:build ./result`,
    )
  withServerFlags(command).action(async (from: string, to: string, flags: CpFlags) => {
    const copied = await interruptible((signal) => copy(from, to, flags, signal))
    if (flags.json === true) printJson({ from, to, ...copied })
  })
}

async function copy(from: string, to: string, flags: CpFlags, signal: AbortSignal) {
  const source = parseSandboxPath(from)
  const target = parseSandboxPath(to)
  const as: As = flags.owner === true ? 'owner' : 'sandbox'
  if (source !== undefined && target === undefined) {
    await using sandbox = await Sandbox.connect(source.sandboxId, { ...serverOption(flags), signal })
    return await copyOut(sandbox, source.path, await localTarget(to, source), { as, signal })
  }
  if (source === undefined && target !== undefined) {
    await using sandbox = await Sandbox.connect(target.sandboxId, { ...serverOption(flags), signal })
    return await copyIn(sandbox, from, await sandboxTarget(sandbox, target.path, from, as), { as, signal })
  }
  throw new InvalidArgumentError('Exactly one of the two must be in a sandbox', source === undefined ? 'from' : 'to', {
    remedy: 'Write that one as sb_…:path',
  })
}

/** As cp(1): into a directory that exists under the same name. */
async function localTarget(to: string, source: SandboxPath): Promise<string> {
  const name = source.path === '' ? source.sandboxId : basename(source.path)
  const isDirectory = await stat(to).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return isDirectory ? join(to, name) : to
}

async function sandboxTarget(sandbox: Sandbox, path: string, from: string, as: As): Promise<string> {
  if (path === '') return basename(from)
  const isDirectory =
    (await sandbox.files.exists(path, { as })) && (await sandbox.files.stat(path, { as })).kind === 'directory'
  return isDirectory ? `${path}/${basename(from)}` : path
}
