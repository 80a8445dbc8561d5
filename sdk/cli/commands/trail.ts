import type { Command } from 'commander'
import type { NetworkOutcome, NetworkUse } from '../../network-trail.ts'
import { Sandbox } from '../../sandbox.ts'
import type { TrailEntry } from '../../trail.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, printTable } from '../report.ts'
import { trailToJson } from '../trail-to-json.ts'

interface TrailFlags extends ServerFlags {
  readonly refused?: boolean
  readonly network?: boolean
}

export function addTrail(program: Command): void {
  const command = program
    .command('trail')
    .summary('show which paths a sandbox used, and for what')
    .description(
      'How often the programs in a sandbox looked at, listed, read, wrote or removed each path, and what was refused. ' +
        'What the kernel answered from its caches is not counted.',
    )
    .argument('<sandbox>', 'its id')
    .option('--refused', 'only what was refused')
    .option('--network', 'instead of paths the hosts that it asked for')
    .addHelpText(
      'after',
      `
Examples:
  croft trail sb_0123456789abcdef --refused
  croft trail sb_0123456789abcdef --network
  croft trail sb_0123456789abcdef --json > trail.json; croft policy suggest trail.json`,
    )
  withServerFlags(command).action(async (id: string, flags: TrailFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    if (flags.network === true) {
      printNetwork(await sandbox.networkTrail(), flags)
      return
    }
    const trail = await sandbox.trail()
    const entries = flags.refused === true ? trail.entries.filter(wasRefused) : trail.entries
    if (flags.json === true) printJson(trailToJson({ ...trail, entries }))
    else printTable(['LOOK', 'LIST', 'READ', 'WRITE', 'REMOVE', 'REFUSED', 'PATH'], entries.map(rowOf))
  })
}

function printNetwork(all: readonly NetworkUse[], flags: TrailFlags): void {
  const uses = flags.refused === true ? all.filter(({ outcome }) => REFUSED.has(outcome)) : all
  if (flags.json === true) printJson({ uses })
  else printTable(['COUNT', 'OUTCOME', 'HOST'], uses.map(networkRow))
}

/** By the rules, not by the network. */
const REFUSED: ReadonlySet<NetworkOutcome> = new Set(['not_allowed', 'private_address', 'malformed'])

function networkRow({ host, port, outcome, count, others }: NetworkUse): string[] {
  const shown = others ? '(others)' : host === '' ? '-' : `${host.includes(':') ? `[${host}]` : host}:${port}`
  return [String(count), outcome.replace('_', ' '), shown]
}

function wasRefused({ refused }: TrailEntry): boolean {
  return refused.view + refused.read + refused.write > 0
}

function rowOf(entry: TrailEntry): string[] {
  const { look, list, read, write, remove, refused, path, directory, below } = entry
  const counts = [look, list, read, write, remove].map((count) => (count === 0 ? '-' : String(count)))
  const missing = (['view', 'read', 'write'] as const).flatMap((level) =>
    refused[level] === 0 ? [] : [`${refused[level]} ${level}`],
  )
  const shown = below ? `${path}/…` : directory ? `${path}/` : path
  return [...counts, missing.length === 0 ? '-' : missing.join(', '), shown]
}
