import { totalmem } from 'node:os'
import { z } from 'zod'
import { LIMIT_RANGES, outside, type Range } from '../../runtimes/contract/limits.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

const bytes = (fallback: number, least = 1) => z.int().min(least).default(fallback)
const count = (fallback: number, least = 1) => z.int().min(least).default(fallback)
const ms = (fallback: number, least = 1) => z.int().min(least).max(MAX_TIMER_MS).default(fallback)

/** Where 0 is no limit. */
const ranged = (range: Range, fallback: number) =>
  z
    .int()
    .refine(
      (value) => value === 0 || outside(value, range) === undefined,
      `must be 0 or ${range.least} to ${range.most}`,
    )
    .default(fallback)

/** What a timer of Node can hold; longer ones would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** Less, and one request of a MiB would be a minute of silence. */
export const BANDWIDTH: Range = { least: 64 * KiB, most: Number.MAX_SAFE_INTEGER }

/** Less holds not even one sync of a few small files; more is only read the longer after a crash. */
const SYNC_LOG: Range = { least: 64 * KiB, most: 64 * MiB }

/** Of the machine's memory, for one sandbox: the rest is the server's and the host's. */
const MEMORY_SHARE = 0.75

/** PATH_MAX of Linux, without the final NUL that it counts. A longer path could not be opened inside anyway. */
export const MAX_PATH_BYTES = 4096

/** Every limit of the server: its number, and the only place where it stands. */
export const limitsSchema = z.strictObject({
  /** One gRPC message, either way; a body of JSON. Pieces of contents are 256 KiB, with something around them. */
  maxMessageBytes: bytes(16 * MiB, 1 * MiB),
  /** Idle ones count too. */
  maxConnections: count(10_000),
  pageSizeDefault: count(50),
  pageSizeMax: count(1000),

  maxCodebases: count(10_000),
  maxSandboxes: count(2_000),
  maxSnapshots: count(10_000),
  /** Kept of one sandbox; the oldest goes. */
  maxCheckpointsPerSandbox: count(100),
  /** Of the command that a checkpoint was made before, what is kept of it. */
  checkpointCommandCharacters: count(200, 0),
  /** Of one call of `DiscardChanges`. */
  maxDiscardPaths: count(1_000),
  /** Sandboxes made by one call of `ForkSandbox`. */
  maxForks: count(100),
  /** Calls of `Export` at one time. */
  maxExports: count(32),
  /** Export jobs that are written at one time; the others wait. */
  maxRunningExportJobs: count(2),
  /** On record, those that have ended among them; where there would be more, the oldest of these is forgotten. */
  maxExportJobs: count(1_000),
  maxExportSchedulesPerSandbox: count(16),
  /** Calls of `Import` at one time. */
  maxImports: count(8),
  /** Of one archive that is imported, or put below an exported image, as it is sent; it is on the disk meanwhile. */
  maxArchiveBytes: bytes(64 * GiB),
  /** Of all that one archive becomes; of its entries `maxTreeEntries`, of one file `maxUploadBytes`. */
  maxUnpackedBytes: bytes(256 * GiB),
  /** How many times as large as it was sent an archive may become, from so many bytes on. */
  maxUnpackRatio: count(200),
  unpackRatioFromBytes: bytes(256 * MiB, 0),
  /** Arguments and variables of the configuration of one image. */
  maxImageConfigBytes: bytes(64 * KiB),
  /** Of one owner, as `quotas` has for single ones; 0: no limit. The server's own user has none. */
  maxSandboxesPerOwner: count(0, 0),
  maxRunningPerOwner: count(0, 0),
  maxSnapshotsPerOwner: count(0, 0),
  /** Of codebases and snapshots, and what sandboxes may add, each whole, whatever they share. */
  maxBytesPerOwner: bytes(0, 0),
  maxCommandsPerMinutePerOwner: count(0, 0),
  /** Of the disk under the data: with less the server says that it is not ready. */
  minFreeBytes: bytes(256 * MiB, 0),
  maxTokens: count(10_000),
  /** From one address, for one token; more are refused until the minute is over, whatever they are. */
  maxWrongTokensPerMinute: count(20),
  /** How long the secret before a rotation may be taken beside the new one. */
  tokenOverlapMaxMs: ms(7 * 24 * 60 * 60_000, 0),
  /** Names of codebases, owners, images, snapshots, tokens. */
  maxNameBytes: bytes(256),
  /** To fetch the image of one sandbox, from a registry or a file. */
  imageMs: ms(30 * 60_000),
  /** What the layers of an archive may unpack to. What comes from a registry the engine does not count. */
  maxImageBytes: bytes(32 * GiB),
  maxLabels: count(64, 0),
  maxLabelKeyBytes: bytes(128),
  maxLabelValueBytes: bytes(1 * KiB),
  /** Rules of one sandbox, those of its preset included. */
  maxRules: count(1_000),
  /** One file of `UploadFiles`, `PutTree` or `WriteFile`, or of a view of which a snapshot is made. */
  maxUploadBytes: bytes(64 * GiB),
  /** Entries of one tree. */
  maxTreeEntries: count(2_000_000),
  /** Names in one answer of `ListFiles`. */
  maxListedFiles: count(200_000),

  maxCommandBytes: bytes(128 * KiB - 1),
  maxArguments: count(10_000),
  maxArgumentsBytes: bytes(1 * MiB),
  maxEnvironmentBytes: bytes(128 * KiB),
  /**
   * Of stdout, and of stderr, in the answer of a unary call. Both of them with their exact bytes beside the
   * text stay under 4 MiB, which is what gRPC clients accept unless told otherwise.
   */
  maxUnaryOutputBytes: bytes(1_000_000, 0),
  /** Of stdout, and of stderr, in the details of an error: C-based gRPC clients refuse trailers over 8 KiB. */
  maxPartialOutputBytes: bytes(1 * KiB, 0),
  /** Commands at one time in one sandbox. */
  maxCommandsPerSandbox: count(256),
  /** For a command that names no timeout. */
  execTimeoutDefaultMs: ms(60 * 60_000),
  execTimeoutMaxMs: ms(24 * 60 * 60_000),
  /** What one command may print, both streams together; one that prints more is killed. 0: no limit. */
  maxOutputBytesPerCommand: bytes(0, 0),
  /** Between SIGTERM and SIGKILL. */
  killGraceMs: ms(2_000, 0),
  /** How long a command's output may stay silent after its end, held open by a process it left behind. */
  outputGraceMs: ms(250, 0),

  /** In the background, in one sandbox: those that run, and those that have ended and are kept. */
  maxBackgroundCommandsPerSandbox: count(64),
  /** Of a background command's output, what is kept of it, with what keeping it costs. */
  backgroundOutputBytes: bytes(1 * MiB, 64 * KiB),
  /** How long a background command that has ended can be asked for its exit and its output. */
  backgroundKeepMs: ms(10 * 60_000, 0),
  /** How long the agent of a sandbox may say nothing after it was asked something; then the sandbox is ended. */
  agentAnswerMaxMs: ms(10_000),
  /** The same where nothing is asked of it but whether it is there. */
  agentSilenceMaxMs: ms(60_000),
  /**
   * How long a command that was killed may be without its end being told, before its sandbox is ended for it. Far longer
   * than a kernel takes for a process that waits for files held to a bandwidth.
   */
  commandEndMaxMs: ms(10 * 60_000),

  /**
   * A container engine that takes longer is taken for one that hangs: to answer a question, and to make, start or remove
   * a container. Long enough for a busy machine.
   */
  engineAnswerMs: ms(30_000),
  engineWorkMs: ms(60_000),
  /** From the start of a container until its agent has spoken. */
  containerAgentMs: ms(30_000),

  /** Open ones, in one sandbox. */
  maxSessionsPerSandbox: count(64),
  /** Closed ones included: they stay listed for the life of the sandbox. */
  maxSessionRecordsPerSandbox: count(10_000),

  /**
   * What a sandbox gets where its request names nothing, and the most that a request may name (which is also what it gets
   * where nothing else is set). 0: none. Held where the runtime can hold it; a request for what it cannot is refused.
   */
  memoryBytesPerSandbox: ranged(LIMIT_RANGES.memoryBytes, Math.floor(totalmem() * MEMORY_SHARE)),
  maxMemoryBytesPerSandbox: ranged(LIMIT_RANGES.memoryBytes, 0),
  /** Microseconds in each 100 ms. */
  maxCpuQuotaUsPerSandbox: ranged(LIMIT_RANGES.cpuQuotaUs, 0),
  /** A weight against other sandboxes and the server, whose own is 1024. None: fork bombs of little weight hold up all forks. */
  cpuSharesPerSandbox: ranged(LIMIT_RANGES.cpuShares, 0),
  /** Threads count too. */
  processesPerSandbox: ranged(LIMIT_RANGES.pids, 4_096),
  maxProcessesPerSandbox: ranged(LIMIT_RANGES.pids, 0),
  /** Of /tmp, and at most of the home; a quarter of the memory where that is less. */
  maxTmpBytesPerSandbox: ranged(LIMIT_RANGES.tmpBytes, GiB),
  /** Descriptors of each process in a sandbox; one more is EMFILE there. Never more than the server's own process may have. */
  maxOpenFilesPerProcess: z.int().min(LIMIT_RANGES.openFiles.least).max(LIMIT_RANGES.openFiles.most).default(16_384),
  /** What passes between a sandbox and its files; a page that the kernel still has does not. */
  maxReadBytesPerSecond: ranged(BANDWIDTH, 0),
  maxWriteBytesPerSecond: ranged(BANDWIDTH, 0),
  /** One file that a sandbox makes: EFBIG there. */
  maxFileBytes: ranged(LIMIT_RANGES.fileBytes, 0),

  /** What a sandbox may add to its codebase, where its request names nothing, and at most. 0: no limit but the disk. */
  diskBytesPerSandbox: bytes(0, 0),
  maxDiskBytesPerSandbox: bytes(0, 0),
  /** Inodes of its own that a sandbox may have, likewise. Each takes about half a KiB of the server's memory. */
  inodesPerSandbox: count(1_000_000),
  maxInodesPerSandbox: count(4_000_000),

  /**
   * The file in which a sandbox that syncs often keeps its syncs, in whole blocks of 4 KiB; it is made at the third. What
   * does not fit there goes to LevelDB, some three times as slowly. 0: none. Not counted as the sandbox's.
   */
  syncLogBytesPerSandbox: ranged(SYNC_LOG, MiB),

  /** Calls of `WatchStats` at one time on one sandbox, and how often they may ask to be told. */
  maxStatsWatchesPerSandbox: count(16),
  statsIntervalDefaultMs: ms(1_000),
  statsIntervalMinMs: ms(100),
  statsIntervalMaxMs: ms(60 * 60_000),

  /** Calls of `WatchFiles` at one time on one sandbox. */
  maxWatchesPerSandbox: count(64),
  /** Lines of what suggested rules would refuse. */
  maxPolicyLosses: count(1_000),

  /** Entries of one sandbox's `network.allow`. */
  maxNetworkRules: count(256),
  /** Of one sandbox to its proxy, at one time; more wait inside. */
  maxProxyConnections: z.int().min(1).max(448).default(64),
  /** The request line and headers of one request to the proxy, and of its answer. */
  maxProxyHeadBytes: bytes(16 * KiB, 1 * KiB),
  /** For a program to say where it wants to connect to. */
  proxyHeadMs: ms(15_000),
  /** To look a name up and connect to it. */
  proxyConnectMs: ms(20_000),
  /** A connection with no bytes either way ends. */
  proxyIdleMs: ms(10 * 60_000),
  /** Names that are looked up at one time, of all sandboxes. The threads that do it are those that read files. */
  maxLookups: z.int().min(1).max(3).default(2),
  /** From outside to servers inside, at one time. With those to the proxy no more than an agent can hold. */
  maxPortConnectionsPerSandbox: z.int().min(1).max(64).default(64),
  /** Hosts, with port and outcome, on one sandbox's network trail; half of them for refusals. */
  maxNetworkTrailEntries: count(1_000, 2),

  /** How long the view of a sandbox that does not run stays open after its last use. */
  viewIdleMs: ms(30_000, 0),
  /** For calls that are under way when the server is told to stop. */
  stopGraceMs: ms(5_000, 0),
})

export type Limits = z.infer<typeof limitsSchema>
