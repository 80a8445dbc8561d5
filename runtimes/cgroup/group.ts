/** What the kernel is to hold a group of processes to. Absent: no limit. */
export interface GroupLimits {
  /** Swap is off, so that this is all there is. */
  readonly memoryBytes?: number
  /** Microseconds in each 100 ms. */
  readonly cpuQuotaUs?: number
  /** As in version 1: 2 to 262144, where 1024 is an ordinary share. */
  readonly cpuShares?: number
  readonly pids?: number
}

export interface GroupStats {
  readonly memoryBytes?: number
  readonly memoryPeakBytes?: number
  readonly cpuUs?: number
  readonly pids?: number
  /** Processes that the kernel ended for want of memory. */
  readonly oomKills?: number
  /** Periods in which the quota of CPU time was used up, and for how long nothing ran for that. */
  readonly throttledPeriods?: number
  readonly throttledUs?: number
}

export type Controller = 'memory' | 'cpu' | 'pids'

/** The control groups of this machine, in either version, below the group this process is in. */
export interface ControlGroups {
  readonly version: 1 | 2
  /** Those that can be used here. */
  readonly controllers: ReadonlySet<Controller>
  /** Makes the group and sets its limits. Where that fails nothing is left. `name` is a single path name. */
  create(name: string, limits: GroupLimits): Promise<ControlGroup>
  /** Ends every process in a group that an earlier process made, and removes it. No error where there is none. */
  reap(name: string): Promise<void>
}

export interface ControlGroup {
  /** A process that writes `0` to each of these is in the group, and so is what it starts. */
  readonly procsPaths: readonly string[]
  stats(): Promise<GroupStats>
  /** As in `stats`, for who asks at each command. */
  oomKills(): number | undefined
  /** `oomKills` is not known from then on, and nothing is held open for it. Part of `remove`. */
  close(): void
  /** Ends every process in the group and removes it. */
  remove(): Promise<void>
}

export const CPU_PERIOD_US = 100_000
