import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectAgent } from '../../runtimes/agent/client.ts'
import { createBwrapRuntime } from '../../runtimes/bwrap/runtime.ts'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { runToEnd, sh } from '../fixtures/agent-alone.ts'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { needs } from '../needs.ts'

let house: RuntimeHouse
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

  it('any socket of a name', async () => {
    expect(await attack('cat /proc/net/unix | tail -n +2')).toBe('')
  })
})

describe('the agent as a target', () => {
  it('shows nothing of itself in /proc', async () => {
    expect(await attack('ls -A /proc/1')).toBe('exe\n')
    expect(await attack('readlink /proc/1/exe /proc/1/root')).not.toMatch(/croft|^\/$/m)
  })

  it('is not there as a file', async () => {
    expect(await attack('find / -xdev -name "*croft-agent*" 2>/dev/null')).toBe('')
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
