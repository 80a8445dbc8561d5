import type { Command } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import type { Entry } from '../../files.ts'
import { Sandbox } from '../../sandbox.ts'
import type { SandboxInfo } from '../../sandbox-info.ts'
import { parseSandboxPath, type SandboxPath } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, printTable } from '../report.ts'

interface LsFlags extends ServerFlags {
  readonly recursive?: boolean
  readonly owner?: boolean
}

export function addLs(program: Command): void {
  const command = program
    .command('ls')
    .summary('list sandboxes, or the files of one')
    .description('Without an argument all sandboxes; with one the files that a sandbox sees.')
    .argument('[sandbox:path]', 'sb_…, or sb_…:src')
    .option('-r, --recursive', 'files below it too')
    .option('--owner', 'see what the rules hide, too')
    .addHelpText('after', '\nExamples:\n  croft ls\n  croft ls sb_0123456789abcdef:src -r')
  withServerFlags(command).action(async (target: string | undefined, flags: LsFlags) => {
    if (target === undefined) listSandboxes(await Sandbox.list(serverOption(flags)), flags)
    else await listFiles(sandboxPath(target), flags)
  })
}

/** Throws an `InvalidArgumentError` for what is no `SB` or `SB:PATH`. */
export function sandboxPath(text: string): SandboxPath {
  const parsed = parseSandboxPath(text)
  if (parsed !== undefined) return parsed
  throw new InvalidArgumentError(`${JSON.stringify(text)} is no sandbox`, 'sandbox', {
    remedy: 'Give its id, sb_ and 16 hex digits; `croft ls` lists them',
  })
}

function listSandboxes(sandboxes: readonly SandboxInfo[], flags: LsFlags): void {
  if (flags.json === true) {
    printJson({ sandboxes })
    return
  }
  printTable(
    ['ID', 'STATUS', 'RUNTIME', 'PRESET', 'CREATED', 'CODEBASE'],
    sandboxes.map((each) => [
      each.id,
      each.status,
      each.runtime,
      each.preset === '' ? '-' : each.preset,
      each.createdAt?.toISOString() ?? '-',
      each.codebaseId,
    ]),
  )
}

async function listFiles({ sandboxId, path }: SandboxPath, flags: LsFlags): Promise<void> {
  await using sandbox = await Sandbox.connect(sandboxId, serverOption(flags))
  const entries = await sandbox.files.list(path, {
    as: flags.owner === true ? 'owner' : 'sandbox',
    recursive: flags.recursive === true,
  })
  entries.sort((a, b) => Buffer.compare(a.rawPath, b.rawPath))
  if (flags.json === true) {
    printJson({ sandboxId, entries: entries.map(({ rawPath: _raw, ...entry }) => entry) })
    return
  }
  printTable(['MODE', 'SIZE', 'MODIFIED', 'PATH'], entries.map(fileRow))
}

const KIND_LETTERS: Record<Entry['kind'], string> = { file: '-', directory: 'd', symlink: 'l', fifo: 'p', socket: 's' }

function fileRow(entry: Entry): string[] {
  const mode = KIND_LETTERS[entry.kind] + entry.mode.toString(8).padStart(4, '0')
  const target = entry.symlinkTarget === undefined ? '' : ` -> ${entry.symlinkTarget}`
  return [mode, String(entry.sizeBytes), entry.modifiedAt.toISOString(), `${entry.path}${target}`]
}
