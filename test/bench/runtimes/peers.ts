import { randomBytes } from 'node:crypto'
import { type EngineInstance, startEngine } from '../../fixtures/engines/engine.ts'
import { busyboxImage } from '../../fixtures/engines/images.ts'
import { probes } from '../../probes.ts'
import { runToEnd } from '../child.ts'

/** A runtime that runs here, and what does the same job without us. */
export interface Peer extends AsyncDisposable {
  readonly runtime: 'bwrap' | 'docker' | 'podman'
  /** How it is called in a table. */
  readonly name: string
  readonly image?: string
  /** Where the server finds its engine. */
  readonly env: Readonly<Record<string, string>>
  /** A new one for this, from nothing to its output and until nothing of it is left. */
  run(argv: readonly string[], signal: AbortSignal): Promise<unknown>
  /** In one that runs; undefined where it has no such thing. */
  readonly exec?: (argv: readonly string[], signal: AbortSignal) => Promise<unknown>
}

/** Those that this machine has, and a line for each that it has not. */
export async function openPeers(
  signal: AbortSignal,
): Promise<{ readonly peers: readonly Peer[]; readonly notes: readonly string[] } & AsyncDisposable> {
  const peers: Peer[] = []
  const notes: string[] = []
  const dispose = async () => {
    for (let last = peers.pop(); last !== undefined; last = peers.pop()) await last[Symbol.asyncDispose]()
  }
  try {
    const lackOfBwrap = await probes.bwrap()
    if (lackOfBwrap === undefined) peers.push(plainBwrap())
    else notes.push(`Without bwrap: ${lackOfBwrap}`)
    for (const name of ['docker', 'podman'] as const) {
      const lack = await probes[name]()
      if (lack === undefined) peers.push(await enginePeer(name, signal))
      else notes.push(`Without ${name}: ${lack}`)
    }
  } catch (error) {
    await dispose()
    throw error
  }
  return { peers, notes, [Symbol.asyncDispose]: dispose }
}

function plainBwrap(): Peer {
  const args = ['--unshare-all', '--die-with-parent', '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', '--']
  return {
    runtime: 'bwrap',
    name: 'bwrap itself',
    env: {},
    run: (argv, signal) => runToEnd('bwrap', [...args, ...argv], { signal }),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

async function enginePeer(runtime: 'docker' | 'podman', signal: AbortSignal): Promise<Peer> {
  const engine = await startEngine(runtime)
  try {
    const image = await busyboxImage(engine)
    const call = commandLine(engine, signal)
    const held = `bench-${randomBytes(4).toString('hex')}`
    await call(['run', '--detach', '--name', held, ...PLAIN, image, '/bin/sleep', '86400'])
    return {
      runtime,
      name: `${runtime} itself`,
      image,
      env: { [`CROFT_${runtime.toUpperCase()}_SOCKET`]: engine.socketPath },
      run: (argv) => call(['run', '--rm', ...PLAIN, image, ...argv]),
      exec: (argv) => call(['exec', held, ...argv]),
      [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
    }
  } catch (error) {
    await engine[Symbol.asyncDispose]()
    throw error
  }
}

const PLAIN = ['--network', 'none']

/** Docker's is a client of its daemon; Podman's does the work itself, on the same state. */
function commandLine({ cli }: EngineInstance, signal: AbortSignal) {
  return (args: readonly string[]) => {
    return runToEnd(cli.file, [...cli.args, ...args], { signal, env: { ...process.env, ...cli.env } })
  }
}
