import type { Command } from 'commander'
import type { Resources } from '../resources.ts'
import { parseBytes, parseCount, parseDuration, parsePositive } from './arguments.ts'

export interface ResourceFlags {
  readonly memory?: number
  readonly cpus?: number
  readonly cpuShares?: number
  readonly pids?: number
  readonly disk?: number
  readonly inodes?: number
  readonly fileSize?: number
  readonly tmp?: number
  readonly openFiles?: number
  readonly maxOutput?: number
  readonly maxTime?: number
  readonly maxCommands?: number
  readonly maxSessions?: number
  readonly ioRead?: number
  readonly ioWrite?: number
}

/** What a sandbox may take. The server refuses what it cannot hold. */
export function withResourceFlags(command: Command): Command {
  return command
    .option('--memory <size>', 'limit, such as 512m or 2g', parseBytes)
    .option('--cpus <number>', 'limit, such as 1.5', parsePositive)
    .option('--cpu-shares <number>', 'weight against other sandboxes; 1024 is ordinary', parseCount)
    .option('--pids <number>', 'limit of processes and threads', parseCount)
    .option('--disk <size>', 'how much it may add to the codebase, such as 2g', parseBytes)
    .option('--inodes <number>', 'how many files it may add', parseCount)
    .option('--file-size <size>', 'how large one file may become', parseBytes)
    .option('--tmp <size>', 'size of /tmp, which is memory', parseBytes)
    .option('--open-files <number>', 'limit of open files of each process', parseCount)
    .option('--max-output <size>', 'kill a command that prints more', parseBytes)
    .option('--max-time <time>', 'the longest that a command may run, such as 5m', parseDuration)
    .option('--max-commands <number>', 'commands at one time', parseCount)
    .option('--max-sessions <number>', 'sessions at one time', parseCount)
    .option('--io-read <size>', 'bytes that it may read from its files in a second', parseBytes)
    .option('--io-write <size>', 'bytes that it may write in a second', parseBytes)
}

/** `undefined`: none was given. */
export function resourcesOf(flags: ResourceFlags): Resources | undefined {
  const { ioRead, ioWrite } = flags
  const io = given({ readBytesPerSecond: ioRead, writeBytesPerSecond: ioWrite })
  const resources: Resources = {
    ...given({
      memoryBytes: flags.memory,
      cpus: flags.cpus,
      cpuShares: flags.cpuShares,
      pids: flags.pids,
      diskBytes: flags.disk,
      inodes: flags.inodes,
      fileBytes: flags.fileSize,
      tmpBytes: flags.tmp,
      openFiles: flags.openFiles,
      outputBytes: flags.maxOutput,
      runTimeMs: flags.maxTime,
      commands: flags.maxCommands,
      sessions: flags.maxSessions,
    }),
    ...(Object.keys(io).length === 0 ? {} : { io }),
  }
  return Object.keys(resources).length === 0 ? undefined : resources
}

function given(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== undefined))
}
