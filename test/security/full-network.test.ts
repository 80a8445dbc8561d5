import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { sh } from '../fixtures/agent-alone.ts'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import { type Neighbour, neighbour } from '../fixtures/neighbour.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, needs } from '../needs.ts'

const NEEDS = ['root', 'bwrap', 'slirp4netns', 'ip', 'curl', 'python3'] as const
const FULL = { network: { mode: 'full' as const } }

let other: Neighbour | undefined
let house: RuntimeHouse
let agent: Agent
let stop: () => Promise<void>
/** Of the host, when the sandbox was started. */
let own: string[]
const servers: Server[] = []

beforeAll(async () => {
  if (await has(...NEEDS)) other = await neighbour()
})

afterAll(() => other?.[Symbol.asyncDispose]())

beforeEach(async (context) => {
  await needs(context, ...NEEDS)
  house = openBwrapHouse()
  own = ownAddresses()
  const launched = await house.launch(FULL)
  ;({ agent } = launched)
  stop = () => launched.stop()
})

afterEach(async () => {
  await house?.dispose()
  for (const server of servers.splice(0)) server.close()
})

async function said(script: string): Promise<string> {
  const { stdout, stderr } = await sh(agent, script)
  return stdout.toString() + stderr.toString()
}

/** A server of the host that greets whoever connects. */
async function greeter(host: string): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).end('host\n'))
  servers.push(server)
  await once(server.listen(0, host), 'listening')
  return (server.address() as AddressInfo).port
}

const get = (host: string, port: number, withinS = 20) =>
  `curl -gs --http0.9 --max-time ${withinS} -o /dev/null -w '%{http_code}\\n' http://${host}:${port}/`

/** All at once, since most of those that are refused are refused by silence. */
async function codesOf(tries: readonly (readonly [host: string, port: number])[]): Promise<string> {
  return await said(`${tries.map(([host, port]) => `${get(host, port, 2)} &`).join(' ')} wait`)
}

describe('a sandbox with the whole network', () => {
  it('reaches other machines, and asks the host’s name server', async () => {
    expect(await said(get(other?.address ?? '', other?.port ?? 0))).toBe('200\n')
    expect(await said('cat /etc/resolv.conf')).toBe('nameserver 10.0.2.3\n')
    expect(await said('cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " " | sort')).toBe('lo\ntap0\n')
  })

  it('does not reach what listens on the loop-back of the host, by any address of the gateway or its own', async () => {
    const port = await greeter('127.0.0.1')
    const port6 = await greeter('::1')
    const hosts = ['127.0.0.1', '10.0.2.2', '10.0.2.3', '10.0.2.1', '10.0.2.100', '0.0.0.0']
    const hosts6 = ['[::1]', '[fd00::2]', '[fd00::3]', '[fe80::2%25tap0]', '[::ffff:127.0.0.1]']
    const tries = [...hosts.map((host) => [host, port] as const), ...hosts6.map((host) => [host, port6] as const)]
    expect(await codesOf(tries)).toBe('000\n'.repeat(tries.length))
  })

  it('does not reach the host by its own addresses either', async () => {
    const port = await greeter('0.0.0.0')
    expect(own).toContain(other?.hostAddress)
    expect(await codesOf(own.map((address) => [address, port] as const))).toBe('000\n'.repeat(own.length))
  })

  it('does not reach link-local addresses, where clouds have their metadata', async () => {
    const { linkLocal = '', port = 0 } = other ?? {}
    const fromHost = await execa('sh', ['-c', get(linkLocal, port)])
    expect(fromHost.stdout).toBe('200')
    const clouds = ['169.254.169.254', '100.100.100.200', '192.0.0.192', '168.63.129.16']
    const tries = [[linkLocal, port] as const, ...clouds.map((address) => [address, 80] as const)]
    expect(await codesOf(tries)).toBe('000\n'.repeat(tries.length))
    const route = `python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for a in ["${linkLocal}", *"${clouds.join(' ')}".split()]:
    try: s.connect((a, 80)); print("a route")
    except OSError as e: print(e.strerror)'`
    expect(await said(route)).toBe('No route to host\n'.repeat(5))
  })

  it('cannot change its routes, its addresses or its device', async () => {
    const change = `PATH=$PATH:/usr/sbin; for what in 'route flush table main' 'route del unreachable 169.254.0.0/16' \
      'route add 169.254.9.9 via 10.0.2.2' 'address add 10.0.2.77/24 dev tap0' 'link set tap0 down'; do ip $what 2>/dev/null && echo done; done; true`
    expect(await said(change)).toBe('')
    expect(await said('python3 -c "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"')).toContain(
      'Error',
    )
  })

  it('does not see, stop or reach the process that makes its connections', async () => {
    expect(await said('cat /proc/[0-9]*/comm')).not.toContain('slirp')
    const [pid] = slirps(process.pid)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    // Nothing but the right to low ports, and no system call by which to get more.
    expect(status).toMatch(/^CapEff:\t0000000000000400$/m)
    expect(status).toMatch(/^Seccomp:\t2$/m)
    expect(readdirSync(`/proc/${pid}/root`).sort()).not.toContain('root')
  })

  it('leaves nothing when it is stopped', async () => {
    expect(slirps(process.pid)).toHaveLength(1)
    await stop()
    expect(slirps(process.pid)).toEqual([])
  })

  it('leaves nothing when its server is killed', async () => {
    const fixture = fileURLToPath(new URL('../fixtures/bwrap-server.mjs', import.meta.url))
    const spec = JSON.stringify({ ...house.spec, ...FULL, sandboxId: 'sb_killed' })
    const server = spawn(process.execPath, [fixture, spec], { stdio: ['ignore', 'pipe', 'inherit'] })
    await createInterface(server.stdout)[Symbol.asyncIterator]().next()
    const [pid] = slirps(server.pid ?? 0)
    expect(existsSync(`/proc/${pid}`)).toBe(true)
    server.kill('SIGKILL')
    await once(server, 'exit')
    // It reads the end of its descriptor; a process that stays makes the test run out of time.
    while (isAlive(pid ?? 0)) await new Promise((resolve) => setImmediate(resolve))
  })
})

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
}

/** The children of a process that make connections. */
function slirps(parent: number): number[] {
  return readdirSync(`/proc/${parent}/task`)
    .flatMap((task) => readFileSync(`/proc/${parent}/task/${task}/children`, 'utf8').split(' '))
    .filter((pid) => pid !== '' && commandOf(pid) === 'slirp4netns\n')
    .map(Number)
}

/** Empty where it has ended meanwhile. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8')
  } catch {
    return ''
  }
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}
