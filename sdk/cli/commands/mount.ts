import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type Command, Option } from 'commander'
import { InternalError } from '../../errors.ts'
import { DEFAULT_PRESET, type Rule } from '../../rules.ts'
import { parseRule } from '../arguments.ts'
import { spawnBuilt, superviseChild } from '../child.ts'
import { printJson } from '../report.ts'

interface MountFlags {
  readonly preset: string
  readonly rule?: readonly Rule[]
  readonly delta?: string
  readonly device: 'auto' | 'kernel' | 'fuse-native'
  readonly json?: boolean
}

export function addMount(program: Command): void {
  program
    .command('mount')
    .summary('mount a copy-on-write view of a folder, without a server')
    .description('Shows DIR at MOUNTPOINT behind rules, until Ctrl-C. What is written goes to the delta, never to DIR.')
    .argument('<dir>', 'the folder')
    .argument('<mountpoint>', 'an empty directory')
    .option('--preset <name>', 'rules to begin with, or "empty"', DEFAULT_PRESET)
    .option('--rule <pattern=level>', 'add a rule: none, view, read or write, @priority; repeatable', parseRule)
    .option('--delta <dir>', 'keep what is written here (default: it is thrown away)')
    .addOption(
      new Option('--device <name>', 'how to speak FUSE; auto is the first that works')
        .choices(['auto', 'kernel', 'fuse-native'])
        .default('auto'),
    )
    .option('--json', 'print one JSON object, errors too')
    .addHelpText(
      'after',
      `
Examples:
  croft mount . /mnt/view --rule '/build/**=write'
  croft mount ~/project /mnt/view --preset development --delta ~/delta`,
    )
    .action(async (dir: string, mountpoint: string, flags: MountFlags) => {
      process.exitCode = await mount(dir, mountpoint, flags)
    })
}

async function mount(dir: string, mountpoint: string, flags: MountFlags): Promise<number> {
  const spec = {
    dir: resolve(dir),
    mountpoint: resolve(mountpoint),
    ...(flags.preset === 'empty' ? {} : { preset: flags.preset }),
    rules: (flags.rule ?? []).map((rule) => ({ type: 'glob', ...rule })),
    ...(flags.delta === undefined ? {} : { deltaDir: resolve(flags.delta) }),
    device: flags.device,
  }
  const child = spawnBuilt('fs-layer/mount/main.js', [JSON.stringify(spec)], ['ignore', 'pipe', 'inherit'])
  const ended = superviseChild(child)
  if (await saysReady(child.stdout)) {
    if (flags.json === true) printJson({ mounted: spec.mountpoint })
    else process.stdout.write(`mounted ${spec.dir} at ${spec.mountpoint}; Ctrl-C unmounts\n`)
  }
  return await ended
}

/** False when the output ends before: the child has said why on stderr, and its exit code counts. */
async function saysReady(stdout: Readable | null): Promise<boolean> {
  if (stdout === null) throw new InternalError('The program that mounts has no output')
  const lines = createInterface({ input: stdout })
  const ended = once(lines, 'close').then(() => false)
  const first = once(lines, 'line').then(([line]: string[]) => isReadyLine(line ?? ''))
  return await Promise.race([first, ended])
}

function isReadyLine(line: string): boolean {
  try {
    return (JSON.parse(line) as { ready?: unknown }).ready === true
  } catch (error) {
    throw new InternalError(`The program that mounts said ${JSON.stringify(line)}`, { cause: error })
  }
}
