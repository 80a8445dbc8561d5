import type { Command } from 'commander'
import { Sandbox } from '../../sandbox.ts'
import type { SandboxStats } from '../../stats.ts'
import { parseDuration } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, printTable } from '../report.ts'

interface StatsFlags extends ServerFlags {
  readonly follow?: boolean
  readonly interval?: number
}

export function addStats(program: Command): void {
  const command = program
    .command('stats')
    .summary('show what a sandbox uses: memory, CPU time, processes, disk')
    .description('What a running sandbox uses now, each beside its limit. A dash is not counted on this host.')
    .argument('<sandbox>', 'its id')
    .option('-f, --follow', 'show it again and again, until Ctrl-C or the end of the sandbox')
    .option('--interval <time>', 'how often, with --follow (default: 1s)', parseDuration)
    .addHelpText(
      'after',
      `
CPU is of one processor, since the line before; THROTTLED is how long the quota of CPU time held everything up.

Examples:
  croft stats sb_0123456789abcdef
  croft stats sb_0123456789abcdef --follow --interval 5s --json`,
    )
  withServerFlags(command).action(async (id: string, flags: StatsFlags) => {
    await interruptible((signal) => stats(id, flags, signal))
  })
}

async function stats(id: string, flags: StatsFlags, signal: AbortSignal): Promise<void> {
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  if (flags.follow !== true) {
    const now = await sandbox.stats({ signal })
    if (flags.json === true) printJson(now)
    else printTable(HEAD, [row(now, undefined)])
    return
  }
  const { interval } = flags
  let before: SandboxStats | undefined
  for await (const now of sandbox.watchStats({ signal, ...(interval === undefined ? {} : { intervalMs: interval }) })) {
    if (flags.json === true) printJson(now)
    else process.stdout.write(`${line(before === undefined ? HEAD : undefined)}${line(row(now, before))}`)
    before = now
  }
}

const HEAD = ['MEMORY', 'PEAK', 'OOM', 'CPU', 'CPU TIME', 'THROTTLED', 'PROCESSES', 'DISK', 'INODES', 'COMMANDS']
const COLUMN = 17

/** Of a width that lines of a stream have in common. */
function line(cells: readonly string[] | undefined): string {
  return cells === undefined
    ? ''
    : `${cells
        .map((cell) => cell.padEnd(COLUMN))
        .join('')
        .trimEnd()}\n`
}

function row(now: SandboxStats, before: SandboxStats | undefined): string[] {
  return [
    ofLimit(now.memoryBytes, now.memoryLimitBytes, size),
    size(now.memoryPeakBytes),
    count(now.oomKills),
    share(now, before),
    seconds(now.cpuTimeMs),
    seconds(now.throttledMs),
    ofLimit(now.processes, now.processesLimit, count),
    ofLimit(now.diskBytes, now.diskLimitBytes, size),
    ofLimit(now.inodes, now.inodesLimit, count),
    count(now.commands),
  ]
}

function ofLimit(
  value: number | undefined,
  limit: number | undefined,
  show: (value: number | undefined) => string,
): string {
  return limit === undefined ? show(value) : `${show(value)}/${show(limit)}`
}

function share(now: SandboxStats, before: SandboxStats | undefined): string {
  if (now.cpuTimeMs === undefined || before?.cpuTimeMs === undefined) return '-'
  const passedMs = now.at.getTime() - before.at.getTime()
  return passedMs <= 0 ? '-' : `${Math.round((100 * (now.cpuTimeMs - before.cpuTimeMs)) / passedMs)}%`
}

function count(value: number | undefined): string {
  return value === undefined ? '-' : String(value)
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? '-' : `${(ms / 1000).toFixed(1)}s`
}

const UNITS = ['B', 'K', 'M', 'G', 'T'] as const

function size(bytes: number | undefined): string {
  if (bytes === undefined) return '-'
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)}${UNITS[power]}`
}
