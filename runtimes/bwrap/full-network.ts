import { closeSync, existsSync, openSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { execa } from 'execa'
import { RuntimeError } from '../contract/runtime.ts'

/** slirp4netns' own numbers: a network of the sandbox's own behind it, with a name server that asks the host's. */
export const NAME_SERVER = '10.0.2.3'

/** Where clouds tell a machine its secrets: link-local (AWS, Google, Azure and others), Alibaba, Oracle, Azure's agent. */
const METADATA = ['169.254.0.0/16', '100.100.100.200/32', '192.0.0.192/32', '168.63.129.16/32']

const SLIRP = '/usr/bin/slirp4netns'
const TUN = '/dev/net/tun'

/** Why sandboxes cannot have the whole network here, with what mends it; undefined where they can. */
export function lackOfFullNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'run the server as root'
  if (!existsSync(SLIRP)) return `there is no ${SLIRP}: apt-get install slirp4netns`
  return existsSync(TUN) ? undefined : `there is no ${TUN}: modprobe tun`
}

export interface FullNetwork {
  /** Resolves when its process has ended. */
  stop(): Promise<void>
}

const READY_FD = 3
const EXIT_FD = 4
const NAMESPACE_FD = 5

/**
 * A process beside the sandbox that makes connections of its packets, in the host's name: over IPv4, to everything
 * but the host itself and metadata services. It ends when the descriptor by which we hold it is closed, also by
 * our death. `initPid` is the agent's, which has nothing to do yet: bubblewrap has set the loop-back up by then, and
 * fails where another does so first.
 */
export async function attachFullNetwork(
  initPid: number,
  { agentPath, signal }: { agentPath: string; signal: AbortSignal },
): Promise<FullNetwork> {
  const namespace = openSync(`/proc/${initPid}/ns/net`, 'r')
  let network: FullNetwork | undefined
  try {
    network = await startSlirp(namespace, signal)
    await refuse(namespace, agentPath, signal)
    return network
  } catch (error) {
    await network?.stop()
    throw error
  } finally {
    closeSync(namespace)
  }
}

async function startSlirp(namespace: number, signal: AbortSignal): Promise<FullNetwork> {
  const args = [
    ...['--configure', '--mtu=65520', '--disable-host-loopback', '--enable-sandbox', '--enable-seccomp'],
    ...['--netns-type=path', `--ready-fd=${READY_FD}`, `--exit-fd=${EXIT_FD}`],
    ...[`/proc/self/fd/${NAMESPACE_FD}`, 'tap0'],
  ]
  const subprocess = execa(SLIRP, args, {
    // Any descriptor will do; the types know only the first few.
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', namespace as 3],
    ...{ cwd: '/', env: {}, extendEnv: false, reject: false, cleanup: false },
    buffer: { stdout: false, stderr: true, fd3: false, fd4: false },
    maxBuffer: MAX_LAST_WORDS_CHARS,
  })
  const [ready, exit] = [
    subprocess.stdio[READY_FD] as unknown as Readable,
    subprocess.stdio[EXIT_FD] as unknown as Writable,
  ]
  exit.on('error', () => undefined)
  const stop = async () => {
    exit.destroy()
    await subprocess
  }
  try {
    await isReady(ready, signal)
  } catch (error) {
    await stop()
    throw error
  }
  // A process that does not take what it is sent must not keep ours alive.
  ready.destroy()
  return { stop }

  async function isReady(from: Readable, aborted: AbortSignal): Promise<void> {
    const onAbort = () => from.destroy()
    aborted.addEventListener('abort', onAbort, { once: true })
    try {
      aborted.throwIfAborted()
      for await (const _byte of from.iterator({ destroyOnReturn: false })) return
    } catch {
      aborted.throwIfAborted()
    } finally {
      aborted.removeEventListener('abort', onAbort)
    }
    const { stderr } = await subprocess
    throw new RuntimeError('failed', 'bwrap', `slirp4netns did not start: ${String(stderr).trim()}`)
  }
}

const MAX_LAST_WORDS_CHARS = 4096

async function refuse(namespace: number, agentPath: string, signal: AbortSignal): Promise<void> {
  await execa(agentPath, ['refuse', '3', ...METADATA, ...ownNetworks()], {
    stdio: ['ignore', 'ignore', 'pipe', namespace as 3],
    ...{ cwd: '/', env: {}, extendEnv: false, cancelSignal: signal },
  })
}

/** What listens on the host's addresses, and not on its loop-back alone, would be reached over them. */
function ownNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, address }) => family === 'IPv4' && !address.startsWith('127.'))
    .map(({ address }) => `${address}/32`)
}
