import { describe, expect, it } from 'vitest'
import { ENV, runToEnd, sh } from '../../fixtures/agent-alone.ts'
import { commandLines } from './command-lines.ts'
import type { Given } from './given.ts'

/** What a program tries, in whatever it runs. Attacks on one runtime alone are in `test/security`. */
export function attackCases(given: () => Given): void {
  async function attack(script: string): Promise<string> {
    const { stdout, stderr } = await sh(given().agent, script)
    return stdout.toString() + stderr.toString()
  }
  async function python(script: string): Promise<string> {
    const { stdout, stderr } = await runToEnd(given().agent, { argv: ['python3', '-c', script] })
    return stdout.toString() + stderr.toString()
  }

  describe('a process inside has no right to', () => {
    it('any capability, new privileges or other groups', async () => {
      const status = await attack('cat /proc/self/status')
      for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(status).toMatch(new RegExp(`^Cap${set}:\t0+$`, 'm'))
      expect(status).toMatch(/^NoNewPrivs:\t1$/m)
      expect(status).toMatch(/^Seccomp:\t2$/m)
      const uid = /^Uid:\t(\d+)\t\1\t\1\t\1$/m.exec(status)?.[1]
      expect(Number(uid)).toBeGreaterThan(0)
      expect(status).toMatch(new RegExp(`^Groups:\t?(${uid})?\\s*$`, 'm'))
    })

    it('gain any by a setuid program of its own making', async () => {
      for (const place of ['/tmp', '/home/croft', '/workspace']) {
        const made = `cat /bin/id > ${place}/id; chmod 6755 ${place}/id; ${place}/id -u; rm ${place}/id`
        expect(await attack(made)).toMatch(/^[1-9]\d*$/m)
      }
      const places = '/tmp|/home/croft|/run|/dev/shm'
      expect(await attack(`grep -E " (${places}) " /proc/self/mountinfo | grep -vc nosuid`)).toBe('0\n')
    })

    it('make a user namespace, in which it would have them all', async () => {
      expect(await attack('unshare -U true; unshare -Ur id -u')).not.toMatch(/^0$/m)
      expect(await python('import ctypes;print(ctypes.CDLL(None).unshare(0x10000000))')).toContain('-1')
      expect(await python('import ctypes;l=ctypes.CDLL(None);print(l.syscall(56,0x10000000|17,0,0,0,0))')).toContain(
        '-1',
      )
    })

    it('mount, load or read what is the kernel’s', async () => {
      for (const line of [
        ...['mount -t tmpfs x /tmp', 'mount -o remount,rw /', 'mount -o remount,rw /usr', 'umount -l /workspace'],
        ...['echo 1 > /proc/sys/kernel/sysrq', 'echo c > /proc/sysrq-trigger', 'echo x > /proc/sys/kernel/hostname'],
        ...['hostname other', 'head -c1 /dev/mem', 'mknod /tmp/disk b 8 0'],
      ]) {
        expect(await attack(`{ ${line}; } && echo done`), line).not.toContain('done')
      }
      expect(await attack('head -c 16 /proc/kcore; ls /sys/kernel/debug')).not.toMatch(/ELF|tracing/)
      expect(await attack('hostname')).toBe('croft-box\n')
    })

    it('write to what is not its own', async () => {
      const places = '/ /usr /usr/bin /etc /dev /bin /home /var /proc/1 /sys'
      expect(await attack(`for p in ${places}; do touch $p/x 2>/dev/null && echo $p; done`)).toBe('')
    })

    it('push input into a terminal of the server’s', async () => {
      expect(await attack('tty; : < /dev/tty && echo done')).not.toContain('done')
      const push =
        'import fcntl,os\ntry:\n fcntl.ioctl(os.open("/dev/tty",os.O_RDWR),0x5412,b"x"); print("pushed")\nexcept OSError as e: print(e)'
      expect(await python(push)).not.toContain('pushed')
    })
  })

  describe('a process inside does not see', () => {
    it('the environment, descriptors, files and processes of the server', async () => {
      const { stdout } = await runToEnd(given().agent, { argv: ['env'] })
      expect(stdout.toString().trim().split('\n').toSorted()).toEqual(
        Object.entries(ENV)
          .map(([name, value]) => `${name}=${value}`)
          .toSorted(),
      )
      expect(await attack('ls /proc/$$/fd; :')).toBe('0\n1\n2\n')
      expect(await attack(`cat ${import.meta.filename}; ls /root /work ${given().house.spec.scratchDir}`)).not.toMatch(
        /describe|view/,
      )
      expect(await commandLines(given().agent)).not.toMatch(/node|vitest|dockerd|podman/)
      expect(await attack('cat /proc/1/environ /proc/1/cmdline | tr "\\0" " "')).not.toContain(given().viewPath)
      expect(await attack('cat /etc/shadow')).toMatch(/denied|No such/)
    })

    it('its control group’s name on the host, or of what is outside of its namespaces', async () => {
      expect(await attack('cat /proc/self/cgroup')).not.toContain('croft')
      expect(await attack('grep NSpid /proc/self/status')).toMatch(/^NSpid:\t\d+\n$/)
      // Of the agent's own socket too, whose other end is the server's.
      expect(await attack('tail -n +2 /proc/net/unix')).not.toContain(given().house.spec.scratchDir)
    })

    it('another sandbox', async () => {
      const beside = given().openHouse()
      try {
        const { agent: other } = await beside.launch()
        const held = await other.spawn({ argv: ['sleep', '600'], env: ENV, cwd: '/' })
        await sh(other, 'echo secret > /tmp/mine; echo secret > /dev/shm/mine')
        expect(await commandLines(given().agent)).not.toContain('sleep 600')
        expect(await attack('cat /tmp/mine /dev/shm/mine; ls /tmp')).not.toMatch(/secret|^mine/m)
        expect(await attack('tail -n +2 /proc/sysvipc/shm')).toBe('')
        await attack('kill -9 -1')
        held.signal(9, 'process')
        expect(await held.exited).toMatchObject({ signal: 9 })
        expect((await sh(other, 'echo fine')).stdout.toString()).toBe('fine\n')
      } finally {
        await beside.dispose()
      }
    })
  })

  describe('the agent as a target', () => {
    it('cannot be killed, stopped or slowed by signals', async () => {
      await attack('for s in 1 2 3 9 15 17 19 20; do kill -$s 1; done; kill -9 -1')
      expect(await attack('echo alive')).toBe('alive\n')
    })

    it('cannot be traced, read, written or have its channel opened', async () => {
      const look = 'cat /proc/1/maps /proc/1/mem /proc/1/environ; ls /proc/1/fd; readlink /proc/1/root /proc/1/fd/3'
      expect(await attack(look)).not.toMatch(/r-xp|^\/$|socket|^3$/m)
      expect(await python('import ctypes;print(ctypes.CDLL(None).ptrace(16,1,0,0))')).toContain('-1')
      expect(
        await python(
          'import ctypes;l=ctypes.CDLL(None);p=l.syscall(434,1,0);print([l.syscall(438,p,i,0) for i in range(8)])',
        ),
      ).toContain('[-1, -1, -1, -1, -1, -1, -1, -1]')
      expect(await python(READ_MEMORY)).toContain('-1')
    })

    it('keeps its limits, its priority and its processors, whoever would change them', async () => {
      const tries = [
        'resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))',
        'os.setpriority(os.PRIO_PROCESS, 1, 19)',
        // All of one user's processes at once.
        'os.setpriority(os.PRIO_USER, os.getuid(), 19)',
        'os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))',
        'os.sched_setaffinity(1, {0})',
      ]
      const script = tries.map((line) => `try: ${line}; print("done")\nexcept OSError: pass`).join('\n')
      expect(await python(`import os, resource\n${script}`)).toBe('')
      expect(await attack('echo alive')).toBe('alive\n')
    })

    it('finds the processes of a command that hides from it by every way out of its family', async () => {
      const command = await given().agent.spawn({ argv: ['python3', '-c', HIDE], env: ENV, cwd: '/' })
      await command.exited
      command.signal(9, 'tree')
      for await (const _ of command.stdout);
      for await (const _ of command.stderr);
      expect(await commandLines(given().agent)).not.toMatch(/sleep 60/)
    })
  })
}

const READ_MEMORY = [
  'import ctypes',
  'l=ctypes.CDLL(None)',
  'class V(ctypes.Structure): _fields_=[("b",ctypes.c_void_p),("n",ctypes.c_size_t)]',
  'b=ctypes.create_string_buffer(8)',
  'v=V(ctypes.addressof(b),8);r=V(0x400000,8)',
  'print(l.process_vm_readv(1,ctypes.byref(v),1,ctypes.byref(r),1,0))',
].join('\n')

const HIDE = [
  'import os,resource,time',
  'def away():',
  '  if os.fork(): os._exit(0)',
  '  os.setsid()',
  '  if os.fork(): os._exit(0)',
  // The mark that they bear can be lowered, but not taken off.
  'if os.fork()==0:',
  '  resource.setrlimit(15,(1000,1000))',
  '  away(); os.environ.clear(); os.execvp("sleep",["sleep","601"])',
  'if os.fork()==0:',
  '  away(); os.execvp("sleep",["sleep","602"])',
].join('\n')
