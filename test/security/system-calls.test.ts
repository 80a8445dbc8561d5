import { join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Agent } from '../../runtimes/contract/agent.ts'
import type { SeccompName } from '../../runtimes/seccomp/filter.ts'
import { NUMBERS } from '../../runtimes/seccomp/numbers.ts'
import { PROFILES } from '../../runtimes/seccomp/profiles.ts'
import { ENV, readUntil, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, needs } from '../needs.ts'

let house: RuntimeHouse
const agents = new Map<SeccompName, Agent>()

beforeAll(async () => {
  if (!(await has('bwrap', 'cc'))) return
  house = openBwrapHouse()
  const source = join(import.meta.dirname, '../fixtures/system-call.c')
  await execa('cc', ['-O1', '-static', '-o', join(house.viewPath, 'system-call'), source])
  for (const name of ['default', 'strict', 'off'] as const) agents.set(name, (await house.launch({}, name)).agent)
})

afterAll(() => house?.dispose())

beforeEach((context) => needs(context, 'bwrap', 'cc', 'python3', 'git'))

function inside(name: SeccompName): Agent {
  const agent = agents.get(name)
  if (agent === undefined) throw new Error(`no sandbox with ${name}`)
  return agent
}

type Call = readonly [label: string, call: string | number, ...values: (number | bigint)[]]

/** What each of them ended with: `ok`, or the name of an error. */
async function make(agent: Agent, calls: readonly Call[]): Promise<Record<string, string>> {
  const lines = calls.map((call) => `${call.join(' ')}\n`).join('')
  const { stdout } = await runToEnd(agent, { argv: ['/workspace/system-call'] }, Buffer.from(lines))
  const answers = stdout.toString().trimEnd().split('\n')
  return Object.fromEntries(
    answers.map((line) => {
      const [label = '', error] = line.split(' ')
      return [label, Number(error) === 0 ? 'ok' : getSystemErrorName(-Number(error))]
    }),
  )
}

const column = process.arch === 'arm64' ? 1 : 0
const number = (name: string) => NUMBERS[name]?.[column] ?? -1

describe.each(['default', 'strict'] as const)('under the %s profile', (profile) => {
  it('each refused call fails with its error', async () => {
    for (const [errno, names] of Object.entries(PROFILES[profile].refuse)) {
      const there = names.filter((name) => NUMBERS[name]?.[column] !== undefined)
      const answers = await make(
        inside(profile),
        there.map((name) => [name, number(name)]),
      )
      expect(answers).toEqual(Object.fromEntries(there.map((name) => [name, errno])))
    }
  })

  it('what no profile speaks of, and what comes by the door of another architecture, is ENOSYS', async () => {
    const calls: Call[] = [
      ['beyond', 999],
      ['x32', 0x4000_0000 | 39],
      ['i386-getpid', 'i386:20'],
      ['i386-mount', 'i386:21'],
      ['i386-keyctl', 'i386:288'],
    ]
    const answers = await make(inside(profile), calls)
    expect(new Set(Object.values(answers))).toEqual(new Set(['ENOSYS']))
    expect(Object.keys(answers)).toHaveLength(calls.length)
  })

  it('namespaces, terminals, families of sockets, devices and old personalities are refused by their arguments', async () => {
    const AT_FDCWD = BigInt.asUintN(64, -100n)
    expect(
      await make(inside(profile), [
        ['clone-user', number('clone'), 0x1000_0000 | 17],
        ['clone-upper-half', number('clone'), (1n << 32n) | 0x2000_0000n | 17n],
        ['unshare-user', number('unshare'), 0x1000_0000],
        ['unshare-time', number('unshare'), 0x80],
        ['push', number('ioctl'), 0, 0x5412, 0],
        ['push-upper-half', number('ioctl'), 0, (1n << 32n) | 0x5412n, 0],
        ['console', number('ioctl'), 0, 0x541c, 0],
        ['discipline', number('ioctl'), 0, 0x5423, 0],
        ['packet', number('socket'), 17, 3, 0],
        ['ciphers', number('socket'), 38, 5, 0],
        ['hypervisor', number('socket'), 40, 1, 0],
        ['bluetooth', number('socket'), 31, 3, 0],
        ['raw', number('socket'), 2, 3, 1],
        ['sctp', number('socket'), 2, 1, 132],
        ['audit', number('socket'), 16, 3, 9],
        ['pair', number('socketpair'), 30, 1, 0, 0],
        ['device', number('mknodat'), AT_FDCWD, 0, 0o020666, 0],
        ['executable-data', number('personality'), 0x40_0000],
        ['zero-page', number('personality'), 0x10_0000],
      ]),
    ).toEqual({
      'clone-user': 'EPERM',
      'clone-upper-half': 'EPERM',
      'unshare-user': 'EPERM',
      'unshare-time': 'EPERM',
      push: 'EPERM',
      'push-upper-half': 'EPERM',
      console: 'EPERM',
      discipline: 'EPERM',
      packet: 'EAFNOSUPPORT',
      ciphers: 'EAFNOSUPPORT',
      hypervisor: 'EAFNOSUPPORT',
      bluetooth: 'EAFNOSUPPORT',
      raw: 'EPROTONOSUPPORT',
      sctp: 'EPROTONOSUPPORT',
      audit: profile === 'strict' ? 'EAFNOSUPPORT' : 'EPROTONOSUPPORT',
      pair: 'EAFNOSUPPORT',
      device: 'EPERM',
      'executable-data': 'EPERM',
      'zero-page': 'EPERM',
    })
  })

  it('commands, terminals and shells that are kept all have the filter, and so has the agent', async () => {
    const agent = inside(profile)
    expect((await sh(agent, 'grep Seccomp: /proc/self/status')).stdout.toString()).toBe('Seccomp:\t2\n')
    const show = { argv: ['sh', '-c', 'grep Seccomp: /proc/self/status; read stop'], env: ENV, cwd: '/' }
    const kinds = [{ terminal: { rows: 24, columns: 80 } }, { control: true, stdin: true }]
    for (const kind of kinds) {
      const shown = await agent.spawn({ ...show, ...kind })
      expect(await readUntil(shown, 'Seccomp:\t')).toContain('Seccomp:\t2')
      shown.signal(9, 'tree')
      await shown.exited
    }
  })

  it('a command cannot push input into its own terminal, from which a shell would read it', async () => {
    const push =
      'import fcntl\ntry:\n fcntl.ioctl(0,0x5412,b"x"); print("pushed")\nexcept OSError as e: print(e.strerror)'
    const { stdout } = await runToEnd(inside(profile), {
      argv: ['python3', '-c', push],
      terminal: { rows: 24, columns: 80 },
    })
    expect(stdout.toString()).toBe('Operation not permitted\r\n')
  })

  it('the agent’s limits, priority and processors cannot be changed from inside', async () => {
    const nofile =
      'import resource as r\ntry:\n r.prlimit(1,r.RLIMIT_NOFILE,(0,0)); print("set")\nexcept PermissionError: print("refused")'
    const { stdout } = await runToEnd(inside(profile), { argv: ['python3', '-c', nofile] })
    expect(stdout.toString()).toBe('refused\n')
    const { PRIO_PROCESS, PRIO_USER, IOPRIO_PROCESS } = { PRIO_PROCESS: 0, PRIO_USER: 2, IOPRIO_PROCESS: 1 }
    const answers = await make(inside(profile), [
      ['nice', number('setpriority'), PRIO_PROCESS, 1, 19],
      ['nice-all', number('setpriority'), PRIO_USER, 0, 19],
      ['affinity', number('sched_setaffinity'), 1, 8, 0],
      ['scheduler', number('sched_setscheduler'), 1, 5, 0],
      ['attributes', number('sched_setattr'), 1, 0, 0],
      ['io', number('ioprio_set'), IOPRIO_PROCESS, 1, 0],
    ])
    expect(new Set(Object.values(answers))).toEqual(new Set(['EPERM']))
  })

  it('ordinary work goes on: node, npm, git, python, a compiler, threads, pipes, limits of one’s own', async () => {
    const work = [
      'set -e; cd "$(mktemp -d)"; export HOME=$PWD',
      'node -e \'const {Worker}=require("worker_threads");new Worker("1",{eval:true}).on("exit",()=>console.log("node",require("fs").readFileSync("/proc/self/status").length>0))\'',
      'npm --version >/dev/null && echo npm',
      'git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline | wc -l && cd ..',
      'python3 -c \'import subprocess,threading,socket,multiprocessing as m;t=threading.Thread(target=print,args=("thread",));t.start();t.join();print(subprocess.check_output(["echo","child"]).decode().strip());s=socket.create_server(("127.0.0.1",0));c=socket.create_connection(s.getsockname());print(m.get_context("fork").Pool(2).map(abs,[-1,-2]))\'',
      'echo \'int main(){return 7;}\' > a.c && cc a.c -o a && { ./a || echo "cc $?"; }',
      "ulimit -n 100; ulimit -c 0; nice -n 5 taskset -c \"$(nproc --all | awk '{print 0}')\" sh -c 'ulimit -n'",
      'mkfifo f; (echo fifo > f &) ; cat f; find /usr/bin | sort | head -n 1 | wc -l',
    ]
    const { stdout, stderr, code } = await sh(inside(profile), work.join('\n'))
    expect(stderr.toString()).toBe('')
    expect(stdout.toString().split('\n')).toEqual([
      'node true',
      'npm',
      '1',
      'thread',
      'child',
      '[1, 2]',
      'cc 7',
      '100',
      'fifo',
      '1',
      '',
    ])
    expect(code).toBe(0)
  })
})

describe('the filter', () => {
  it('is what refuses: without it the same calls are made', async () => {
    const calls: Call[] = [
      ['keyctl', number('keyctl'), 0, 0xffff_fffdn, 1],
      ['personality', number('personality'), 0x10_0000],
      ['scheduler', number('get_mempolicy'), 0, 0, 0, 0, 0],
      ['netlink', number('socket'), 16, 3, 15],
    ]
    expect(new Set(Object.values(await make(inside('off'), calls)))).toEqual(new Set(['ok']))
    expect(Object.values(await make(inside('default'), calls))).not.toContain('ok')
    expect((await sh(inside('off'), 'grep Seccomp: /proc/self/status')).stdout.toString()).toBe('Seccomp:\t0\n')
  })

  it('lets a debugger trace what is its own in the default profile, and not in the strict one', async () => {
    expect(await make(inside('default'), [['trace', 'trace']])).toEqual({ trace: 'ok' })
    expect(await make(inside('strict'), [['trace', 'trace']])).toEqual({ trace: 'EPERM' })
  })

  it('keeps the host’s handler of core dumps out, which a limit of 0 would call', async () => {
    const lower = 'import resource as r\nr.setrlimit(r.RLIMIT_CORE,(0,0)); print(r.getrlimit(r.RLIMIT_CORE))'
    const { stdout } = await runToEnd(inside('default'), { argv: ['python3', '-c', lower] })
    expect(stdout.toString()).toBe('(1, 1)\n')
  })

  it('cannot be taken off', async () => {
    const disable = await make(inside('default'), [['disable', number('prctl'), 22, 0, 0]])
    expect(disable).toEqual({ disable: 'EINVAL' })
  })
})
