/** What cannot be done is false, and a request that needs it is refused, never ignored. */
export interface Capabilities {
  readonly memoryLimit: boolean
  readonly cpuLimit: boolean
  readonly pidsLimit: boolean
  readonly openFilesLimit: boolean
  readonly fileSizeLimit: boolean
  /** Of `/tmp`. */
  readonly tmpLimit: boolean
  readonly terminal: boolean
  readonly image: boolean
  readonly networkOff: boolean
  readonly networkAllowList: boolean
  readonly networkFull: boolean
  readonly stats: boolean
  /** The agent can filter system calls. */
  readonly systemCallFilter: boolean
}

export const NO_CAPABILITIES = {
  memoryLimit: false,
  cpuLimit: false,
  pidsLimit: false,
  openFilesLimit: false,
  fileSizeLimit: false,
  tmpLimit: false,
  terminal: false,
  image: false,
  networkOff: false,
  networkAllowList: false,
  networkFull: false,
  stats: false,
  systemCallFilter: false,
} as const satisfies Capabilities

/** Always, never, or where what it says is given. */
export type Can = boolean | string

/** Those that the contract is run on. */
export const RUNTIMES_IN_TABLE = ['bwrap', 'docker', 'podman'] as const

type TableRow = { readonly means: string } & { readonly [runtime in (typeof RUNTIMES_IN_TABLE)[number]]: Can }

const GROUPS = 'where control groups can be made (root)'
const ENGINE = 'where the engine holds it'
const SECCOMP = 'where the kernel has seccomp'

/**
 * All in which runtimes differ, on the best host there is: README's table is made of it (`npm run gen:readme`), and the
 * contract holds each runtime to its column.
 */
export const CAPABILITY_TABLE: { readonly [ability in keyof Capabilities]: TableRow } = {
  image: { means: 'root filesystem from an image; else `/usr` of the host', bwrap: false, docker: true, podman: true },
  memoryLimit: { means: 'memory limit, deaths by it counted', bwrap: GROUPS, docker: ENGINE, podman: ENGINE },
  cpuLimit: { means: 'share of CPU time', bwrap: GROUPS, docker: ENGINE, podman: ENGINE },
  pidsLimit: { means: 'number of processes', bwrap: GROUPS, docker: ENGINE, podman: ENGINE },
  openFilesLimit: { means: 'number of open files', bwrap: true, docker: true, podman: true },
  fileSizeLimit: { means: 'size of a file', bwrap: true, docker: true, podman: true },
  tmpLimit: { means: 'size of `/tmp`', bwrap: true, docker: true, podman: true },
  stats: { means: 'live use (`croft stats`)', bwrap: true, docker: true, podman: true },
  terminal: { means: 'terminals', bwrap: true, docker: true, podman: true },
  networkOff: { means: 'no network', bwrap: true, docker: true, podman: true },
  networkAllowList: { means: 'an allow-list of hosts', bwrap: true, docker: true, podman: true },
  networkFull: {
    means: 'the whole network but the host',
    bwrap: 'where the server is root, with slirp4netns',
    docker: false,
    podman: false,
  },
  systemCallFilter: { means: 'filter of system calls', bwrap: SECCOMP, docker: SECCOMP, podman: SECCOMP },
}
