import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectAgent } from '../../runtimes/agent/client.ts'
import { createBwrapRuntime } from '../../runtimes/bwrap/runtime.ts'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { ENV, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type BwrapHouse, openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import { needs } from '../needs.ts'

let house: BwrapHouse
let agent: Agent

beforeEach(async (context) => {
  await needs(context, 'bwrap', 'python3')
  house = openBwrapHouse()
  agent = (await house.launch()).agent
})

afterEach(() => house?.dispose())

async function attack(script: string): Promise<string> {
  const { stdout, stderr } = await sh(agent, script)
  return stdout.toString() + stderr.toString()
}

async function python(script: string): Promise<string> {
  const { stdout, stderr } = await runToEnd(agent, { argv: ['python3', '-c', script] })
  return stdout.toString() + stderr.toString()
}

describe('a process inside has no right to', () => {
  it('any capability, new privileges or other groups', async () => {
    const status = await attack('cat /proc/self/status')
    for (const kind of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(status).toContain(`${kind}:\t0000000000000000`)
    expect(status).toContain('NoNewPrivs:\t1')
    expect(status).toMatch(/^Groups:\s*$/m)
    expect(status).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m)
  })

  it('gain any by a setuid program', async () => {
    expect(await attack('find /usr/bin -perm -4000 -type f -print -quit | wc -l')).toBe('1\n')
    expect(await attack('grep " /usr " /proc/self/mountinfo')).toMatch(/ro,nosuid,nodev/)
    expect(await attack('su -c id root </dev/null')).not.toContain('uid=0')
    // One of its own making on the view and on /tmp.
    expect(await attack('cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id; /tmp/id -u')).toBe('1000\n')
    expect(
      await attack('grep -E " (/tmp|/workspace|/home/croft|/run|/dev/shm) " /proc/self/mountinfo | grep -vc nosuid'),
    ).toBe('0\n')
  })

  it('make a user namespace, in which it would have them all', async () => {
    expect(await attack('unshare -U true; unshare -Ur id -u')).not.toMatch(/^0$/m)
    expect(await python('import ctypes;print(ctypes.CDLL(None).unshare(0x10000000))')).toContain('-1')
    expect(await python('import ctypes;l=ctypes.CDLL(None);print(l.syscall(56,0x10000000|17,0,0,0,0))')).toContain('-1')
  })

  it('mount, trace, load or read what is the kernel’s', async () => {
    expect(await attack('mount -t tmpfs x /tmp && echo done')).not.toContain('done')
    expect(await attack('mount -o remount,rw /usr && echo done')).not.toContain('done')
    expect(await attack('umount -l /workspace && echo done')).not.toContain('done')
    expect(await attack('head -c 16 /proc/kcore; head -c1 /dev/mem; ls /sys/kernel')).not.toMatch(/ELF|debug/)
    expect(
      await attack('echo 1 > /proc/sys/kernel/sysrq && echo done; echo c > /proc/sysrq-trigger && echo done'),
    ).not.toContain('done')
    expect(await attack('cat /sys/class/net/*/address; ls /sys')).toContain('No such file')
  })

  it('write to what is not its own', async () => {
    const places = ['/', '/usr', '/usr/bin', '/etc', '/dev', '/bin', '/home', '/var', '/proc/1']
    const result = await attack(places.map((place) => `touch ${place}/x 2>/dev/null && echo ${place}`).join(';'))
    expect(result).toBe('')
  })

  it('push input into a terminal of the server’s', async () => {
    expect(await attack('tty; : < /dev/tty && echo done')).not.toContain('done')
    const tiocsti =
      'import fcntl,os\ntry:\n fcntl.ioctl(os.open("/dev/tty",os.O_RDWR),0x5412,b"x"); print("pushed")\nexcept OSError as e: print(e)'
    expect(await python(tiocsti)).not.toContain('pushed')
  })
})

describe('a process inside does not see', () => {
  it('the environment, descriptors, files and processes of the server', async () => {
    expect((await runToEnd(agent, { argv: ['env'] })).stdout.toString()).toBe(
      'PATH=/usr/local/bin:/usr/bin:/bin\nLC_ALL=C\n',
    )
    expect(await attack('ls /proc/$$/fd')).toBe('0\n1\n2\n')
    expect(
      await attack(`cat ${import.meta.filename}; ls /root /work /tmp ${house.spec.scratchDir} /var/lib`),
    ).not.toContain('describe')
    expect(await attack('ls -d /proc/[0-9]* | wc -l')).toMatch(/^[3-6]\n$/)
    expect(await attack('cat /proc/1/environ /proc/1/cmdline | tr "\\0" " "')).not.toContain(house.viewPath)
    expect(await attack('hostname')).toBe('croft-box\n')
    expect(await attack('ls -A /etc/ssl/private /etc/shadow /home /root; cat /etc/passwd')).not.toMatch(/shadow$|id_/m)
  })

  it('its control group’s or mounts’ names on the host', async () => {
    expect(await attack('cat /proc/self/cgroup')).not.toContain('croft')
    expect(await attack('cat /proc/self/status | grep NSpid')).toMatch(/^NSpid:\t\d+\n$/)
  })

  it('any network but its own loop-back', async () => {
    expect(await attack('cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d " "')).toBe('lo\n')
    expect(await attack('cat /proc/net/unix | tail -n +2')).toBe('')
    const server = await listen()
    const connect = `import socket\ns=socket.socket()\ntry:\n s.connect(("127.0.0.1",${server.port})); print("connected")\nexcept OSError as e: print(e)`
    expect(await python(connect)).toContain('refused')
    await server.close()
    for (const address of ['169.254.169.254', '1.1.1.1', '::1%lo']) {
      const reach = `import socket\ntry:\n socket.create_connection(("${address}",80),1); print("connected")\nexcept OSError as e: print(e)`
      expect(await python(reach)).not.toContain('connected')
    }
    expect(
      await python(
        'import socket\ntry: print(socket.gethostbyname("example.org"))\nexcept OSError as e: print("none")',
      ),
    ).toBe('none\n')
  })

  it('another sandbox', async () => {
    const other = (await house.launch()).agent
    const held = await other.spawn({ argv: ['sleep', '600'], env: ENV, cwd: '/' })
    expect(await attack('ps -eo args')).not.toContain('sleep 600')
    await sh(other, 'echo secret > /tmp/s; echo secret > /dev/shm/s')
    expect(await attack('cat /tmp/s /dev/shm/s')).not.toContain('secret')
    expect(await attack('ipcs -m | grep -c 0x')).toBe('0\n')
    held.signal(9, 'tree')
    await held.exited
  })
})

describe('the agent as a target', () => {
  it('cannot be killed, stopped or slowed by signals', async () => {
    await attack('for s in 1 2 3 9 15 17 19 20; do kill -$s 1; done; kill -9 -1')
    expect(await attack('echo alive')).toBe('alive\n')
  })

  it('cannot be traced, read, written or have its channel opened', async () => {
    expect(await attack('ls -A /proc/1')).toBe('exe\n')
    expect(await attack('cat /proc/1/maps /proc/1/mem /proc/1/environ; readlink /proc/1/exe /proc/1/root')).not.toMatch(
      /croft|r-xp|^\/$/m,
    )
    expect(await python('import ctypes;print(ctypes.CDLL(None).ptrace(16,1,0,0))')).toContain('-1')
    expect(
      await python(
        'import os,ctypes;l=ctypes.CDLL(None);p=l.syscall(434,1,0);print([l.syscall(438,p,i,0) for i in range(8)])',
      ),
    ).toContain('[-1, -1, -1, -1, -1, -1, -1, -1]')
    expect(
      await python(
        'import ctypes\nl=ctypes.CDLL(None)\nclass V(ctypes.Structure): _fields_=[("b",ctypes.c_void_p),("n",ctypes.c_size_t)]\nb=ctypes.create_string_buffer(8)\nv=V(ctypes.addressof(b),8);r=V(0x400000,8)\nprint(l.process_vm_readv(1,ctypes.byref(v),1,ctypes.byref(r),1,0))',
      ),
    ).toContain('-1')
  })

  it('keeps its limits, its priority and its processors, whoever would change them', async () => {
    const tries = ['prlimit --pid 1 --nofile=0:0', 'renice -n 19 -p 1', 'chrt -i -p 0 1', 'ionice -c 3 -p 1']
    for (const line of tries) expect((await sh(agent, line)).code).toBe(1)
    // All of one user's processes at once.
    expect((await sh(agent, 'renice -n 19 -u 1000')).code).toBe(1)
    expect(await attack('echo alive')).toBe('alive\n')
  })

  it('is not there as a file', async () => {
    expect(await attack('find / -xdev -name "*croft-agent*" 2>/dev/null')).toBe('')
  })

  it('finds the processes of a command that hides from it by every way out of its family', async () => {
    const hide = [
      'import os,resource,time',
      'def away():',
      '  if os.fork(): os._exit(0)',
      '  os.setsid()',
      '  if os.fork(): os._exit(0)',
      // The mark that they bear can be lowered, but not taken off.
      'if os.fork()==0:',
      '  resource.setrlimit(15,(1000,1000))',
      '  away(); os.environ.clear(); os.execv("/usr/bin/sleep",["sleep","601"])',
      'if os.fork()==0:',
      '  away(); os.execv("/usr/bin/sleep",["sleep","602"])',
    ].join('\n')
    const command = await agent.spawn({ argv: ['python3', '-c', hide], env: ENV, cwd: '/' })
    await command.exited
    command.signal(9, 'tree')
    for await (const _ of command.stdout);
    for await (const _ of command.stderr);
    expect(await attack('ps -eo args')).not.toMatch(/sleep 60/)
  })

  it('that lies ends its own connection, and no other sandbox notices', async () => {
    // A process 1 that is the attacker's from the first byte: it greets as agreed, and then says anything.
    const hostile = join(house.spec.scratchDir, 'hostile')
    const script = [
      '#!/usr/bin/python3',
      'import os,sys',
      'fd=int(sys.argv[-1])',
      'os.write(fd,bytes(4)+b"\\x10\\x00\\x06\\x00CRFT\\x01\\x00")',
      'while True: os.write(fd,os.urandom(65536))',
    ]
    writeFileSync(hostile, script.join('\n'), { mode: 0o755 })
    const runtime = createBwrapRuntime({ stateDir: join(house.spec.scratchDir, 'state'), agentPath: hostile })
    const launched = await runtime.launch({ ...house.spec, sandboxId: 'sb_hostile' })
    expect((await connectAgent(launched.stream).closed)?.code).toBe('protocol')
    await launched.stop()
    expect(await attack('echo unharmed')).toBe('unharmed\n')
  })
})

async function listen(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}
