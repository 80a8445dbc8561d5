import { existsSync, readdirSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { execa } from 'execa'
import { detectControlGroups } from '../runtimes/cgroup/detect.ts'
import { pythonWithAgentfense } from './fixtures/agentfense.ts'
import { guestKernel } from './fixtures/guest/kernel.ts'
import { ownAddresses } from './fixtures/own-addresses.ts'

/**
 * What a test may need of the machine, each with a probe that really tries it. A probe resolves with `undefined`
 * where the machine can, else with the reason why it cannot.
 */
export const probes = {
  /** Of `lacks`: no machine mends it. */
  ability: async () => 'the part under test does not have it',
  root: async () => (process.getuid?.() === 0 ? undefined : 'not run as root'),
  fuse: async () => {
    if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse'
    // A new mount namespace asks for the same right as mount(2) does, and leaves nothing behind.
    return trying('unshare', ['--mount', 'true'])
  },
  /** A disk of one's own: an image with ext4 on a loop device, mounted where nobody else sees it, gone with the namespace. */
  loop: () => trying('unshare', ['--mount', 'sh', '-ec', LOOP_MOUNT]),
  bwrap: () => trying('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']),
  'control-groups': async () =>
    (await detectControlGroups()) === undefined ? 'no control group can be made here' : undefined,
  'fuse-native': async () => {
    const folders = ['/usr/lib', ...readdirSync('/usr/lib').map((name) => `/usr/lib/${name}`)]
    if (folders.some((folder) => existsSync(`${folder}/libfuse.so.2`))) return undefined
    return 'there is no libfuse.so.2 (package libfuse2)'
  },
  fusermount3: () => trying('fusermount3', ['--version']),
  'own-address': async () => (ownAddresses().some(isIPv4) ? undefined : 'this machine has a loop-back only'),
  git: () => trying('git', ['--version']),
  patch: () => trying('patch', ['--version']),
  'systemd-analyze': () => trying('systemd-analyze', ['--version']),
  openssl: () => trying('openssl', ['version']),
  'python3-grpc': () => trying('/usr/bin/python3', ['-c', 'import grpc, google.protobuf']),
  protoc: () => trying('protoc', ['--version']),
  python3: () => trying('python3', ['--version']),
  slirp4netns: async () => {
    if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun'
    return trying('slirp4netns', ['--version'])
  },
  /** A network namespace with a cable to it, both gone at its end. */
  ip: () => trying('unshare', ['--net', 'ip', 'link', 'add', 'name', 'here', 'type', 'veth', 'peer', 'name', 'there']),
  curl: () => trying('curl', ['--version']),
  'node-inside': async () =>
    ['/usr/bin/node', '/usr/local/bin/node'].some((path) => existsSync(path)) ? undefined : 'Node is not below /usr',
  npm: () => trying('npm', ['--version']),
  pip: () => trying('/usr/bin/python3', ['-m', 'pip', '--version']),
  'npm-registry': () =>
    trying('curl', ['-sSf', '--max-time', '10', '-o', '/dev/null', 'https://registry.npmjs.org/semver']),
  'python-index': () => trying('curl', ['-sSf', '--max-time', '10', '-o', '/dev/null', 'https://pypi.org/simple/six/']),
  sqlite3: () => trying('sqlite3', ['--version']),
  make: () => trying('make', ['--version']),
  bash: () => trying('bash', ['-c', 'true']),
  dash: () => trying('dash', ['-c', 'true']),
  busybox: () => trying('/bin/busybox', ['sh', '-c', 'true']),
  cc: () => trying('cc', ['--version']),
  /** Of the compiler: address and undefined behaviour. */
  sanitizers: () => trying('sh', ['-c', SANITIZED]),
  'stress-ng': () => trying('stress-ng', ['--version']),
  fio: () => trying('fio', ['--version']),
  dbench: () => trying('sh', ['-c', 'command -v dbench']),
  'bonnie++': () => trying('sh', ['-c', 'command -v bonnie++']),
  zstd: () => trying('zstd', ['--version']),
  bsdtar: () => trying('bsdtar', ['--version']),
  'agentfense-python': async () => {
    try {
      return await trying(await pythonWithAgentfense(), ['-c', 'import agentfense'])
    } catch (error) {
      return `the published client cannot be installed: ${error instanceof Error ? error.message : String(error)}`
    }
  },
  /** A machine of its own for what this one's kernel is not set up for. */
  qemu: async () => {
    if (process.arch !== 'x64') return 'the guest is one for x86-64'
    const lack =
      (await trying('qemu-system-x86_64', ['--version'])) ?? (await trying('busybox', ['true'])) ?? (await noKernel())
    return lack
  },
  /** Tests start engines of their own, on images that they make. */
  docker: () => startable(['dockerd']),
  podman: () => startable(['podman', 'runc']),
  runsc: () => startable(['dockerd', 'runsc']),
  /** One of the tests' own, on the loop-back, with images that they make. */
  registry: () => trying('docker-registry', ['--version']),
} satisfies Record<string, () => Promise<string | undefined>>

async function startable(programs: readonly string[]): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'not run as root'
  for (const program of programs) {
    const lack = await trying(program, ['--version'])
    if (lack !== undefined) return lack
  }
  return trying('busybox', ['true'])
}

async function noKernel(): Promise<string | undefined> {
  try {
    await guestKernel()
    return undefined
  } catch (error) {
    return `a kernel for the guest cannot be had: ${error instanceof Error ? error.message : String(error)}`
  }
}

const LOOP_MOUNT = `
  image=$(mktemp)
  trap 'rm -f "$image"' EXIT
  truncate -s 8M "$image"
  mkfs.ext4 -q -F "$image"
  mount -o loop "$image" /mnt
  umount /mnt`

const SANITIZED = "echo 'int main(void) { return 0; }' | cc -fsanitize=address,undefined -x c - -o /dev/null"

export type Need = keyof typeof probes

const timeoutMs = 20_000

async function trying(file: string, args: readonly string[]): Promise<string | undefined> {
  const result = await execa(file, args, { reject: false, stdin: 'ignore', timeout: timeoutMs })
  if (!result.failed) return undefined
  const said = result.stderr.trim().split('\n').pop()
  return `${file} does not work here: ${said === undefined || said === '' ? result.shortMessage : said}`
}
