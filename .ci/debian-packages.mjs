import { existsSync, readdirSync } from 'node:fs'

/**
 * What the product and its tests take from the system. `command` or `library` is what shows that it is there:
 * looking for a file costs nothing, and holds where it was installed by other means than apt.
 *
 * @typedef {{ name: string, reason: string, command?: string, library?: string, module?: string }} Package
 * @type {readonly Package[]}
 */
export const debianPackages = [
  { name: 'bubblewrap', command: 'bwrap', reason: 'the default runtime' },
  { name: 'slirp4netns', command: 'slirp4netns', reason: 'the whole network for a sandbox that asks for it' },
  { name: 'gcc', command: 'cc', reason: 'compiles the agent; tests compile a program inside a sandbox' },
  { name: 'libc6-dev', library: 'libc.a', reason: 'the agent is linked statically' },
  { name: 'libfuse2', library: 'libfuse.so.2', reason: 'the fuse-native device loads it' },
  { name: 'fuse3', command: 'fusermount3', reason: 'mounts views for a server that is not root' },
  { name: 'git', command: 'git', reason: 'tests and the demo use git inside a view' },
  { name: 'curl', command: 'curl', reason: 'tests fetch through the proxy of a sandbox' },
  { name: 'patch', command: 'patch', reason: 'tests apply the patches of a sandbox with it' },
  { name: 'iproute2', command: 'ip', reason: 'tests put another machine beside the host' },
  { name: 'make', command: 'make', reason: 'tests build a project inside a view' },
  { name: 'python3', command: 'python3', reason: 'tests run Python inside a view' },
  { name: 'python3-grpcio', module: 'grpc', reason: 'an example in Python speaks to the server' },
  { name: 'protobuf-compiler', command: 'protoc', reason: 'makes the messages of that example' },
  { name: 'libprotobuf-dev', library: 'libprotobuf.a', reason: 'has the messages that those are made of' },
  { name: 'sqlite3', command: 'sqlite3', reason: 'tests run SQLite, with its locks and journals, on a view' },
  { name: 'libarchive-tools', command: 'bsdtar', reason: 'tests read exported snapshots with a second tar' },
  { name: 'zstd', command: 'zstd', reason: 'exports as tar.zst are packed by it' },
  { name: 'stress-ng', command: 'stress-ng', reason: 'tests put a view under every kind of load' },
  { name: 'fio', command: 'fio', reason: 'tests verify what is read back from a view' },
  { name: 'dbench', command: 'dbench', reason: 'tests play the load of a file server on a view' },
  { name: 'bonnie++', command: 'bonnie++', reason: 'tests rewrite, make and delete many files on a view' },
  {
    name: 'qemu-system-x86',
    command: 'qemu-system-x86_64',
    reason: 'tests boot a machine with control groups version 2',
  },
  { name: 'busybox-static', command: 'busybox', reason: 'what such a machine starts with' },
  { name: 'docker.io', command: 'dockerd', reason: 'tests start a Docker of their own' },
  { name: 'podman', command: 'podman', reason: 'tests start a Podman of their own' },
  { name: 'runc', command: 'runc', reason: 'what that Podman runs containers with' },
  { name: 'runsc', command: 'runsc', reason: 'the kernel of gVisor, which that Docker runs containers with too' },
  {
    name: 'docker-registry',
    command: 'docker-registry',
    reason: 'tests pull images that they made from a registry of their own',
  },
  { name: 'ripgrep', command: 'rg', reason: 'the benchmark searches a view with it' },
]

/** @returns {Package[]} */
export function missingPackages() {
  return debianPackages.filter((wanted) => {
    if (wanted.module !== undefined) return !existsSync(`/usr/lib/python3/dist-packages/${wanted.module}`)
    if (wanted.command !== undefined) return !isThere(commandFolders, wanted.command)
    return !isThere(libraryFolders(), wanted.library ?? '')
  })
}

/** @param {readonly Package[]} packages */
export function installLine(packages) {
  return `apt-get install -y --no-install-recommends ${packages.map((each) => each.name).join(' ')}`
}

// A sandbox sees /usr only, so a program elsewhere (a version manager's shim in a home directory) does not count.
const commandFolders = ['/usr/bin', '/usr/local/bin', '/usr/sbin']

/** @param {readonly string[]} folders @param {string} name */
function isThere(folders, name) {
  return folders.some((folder) => existsSync(`${folder}/${name}`))
}

function libraryFolders() {
  const ofArchitectures = readdirSync('/usr/lib').filter((name) => name.endsWith('-linux-gnu'))
  return ['/usr/lib', '/usr/local/lib', '/usr/lib64', ...ofArchitectures.map((name) => `/usr/lib/${name}`)]
}
