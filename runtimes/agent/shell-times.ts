/** CPU time that a shell says it and what it has waited for have used since it began. Microseconds. */
export interface ShellTimes {
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
}

/**
 * What `times` printed, as POSIX has it: two lines, the shell's own and those of its children, each with user and system
 * time as minutes and seconds. Undefined where it is anything else: then nothing is known.
 */
export function parseShellTimes(lines: readonly string[]): ShellTimes | undefined {
  const [own, children] = lines.map(parseLine)
  if (lines.length !== 2 || own === undefined || children === undefined) return undefined
  return {
    cpuUserUs: own.cpuUserUs + children.cpuUserUs,
    cpuSystemUs: own.cpuSystemUs + children.cpuSystemUs,
  }
}

/** Some shells have the decimal point of their locale. */
function parseLine(line: string): ShellTimes | undefined {
  const found = /^(\d{1,9})m(\d{1,2}[.,]\d{1,9})s (\d{1,9})m(\d{1,2}[.,]\d{1,9})s$/.exec(line)
  if (found === null) return undefined
  const [, userMinutes = '', userSeconds = '', systemMinutes = '', systemSeconds = ''] = found
  return { cpuUserUs: microseconds(userMinutes, userSeconds), cpuSystemUs: microseconds(systemMinutes, systemSeconds) }
}

function microseconds(minutes: string, seconds: string): number {
  return Number(minutes) * 60e6 + Math.round(Number(seconds.replace(',', '.')) * 1e6)
}

/** What was used between two looks; never less than nothing, for shells round. */
export function timesBetween(before: ShellTimes, after: ShellTimes): ShellTimes {
  return {
    cpuUserUs: Math.max(0, after.cpuUserUs - before.cpuUserUs),
    cpuSystemUs: Math.max(0, after.cpuSystemUs - before.cpuSystemUs),
  }
}
