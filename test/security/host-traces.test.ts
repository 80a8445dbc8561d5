import { existsSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { ENV, readUntil, sh } from '../fixtures/agent-alone.ts'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { needs } from '../needs.ts'

let house: RuntimeHouse
let agent: Agent

beforeEach(async (context) => {
  await needs(context, 'bwrap')
  house = openBwrapHouse()
  agent = (await house.launch()).agent
})

afterEach(() => house?.dispose())

async function inside(script: string, where = agent): Promise<string> {
  const { stdout, stderr } = await sh(where, script)
  return stdout.toString() + stderr.toString()
}

function ofHost(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : 'none'
}

describe('of the host, /proc tells a sandbox nothing by', () => {
  it('its command line, symbols, keys, interrupts, disks, timers', async () => {
    const names = 'cmdline kallsyms keys key-users interrupts diskstats partitions modules timer_list sched_debug'
    const read = `for name in ${names} kcore kmsg slabinfo vmallocinfo; do head -c 1 /proc/$name && echo $name; done 2>/dev/null`
    expect(await inside(read)).toBe('')
  })

  it('its filesystems, buses, interrupts and drivers', async () => {
    expect(
      await inside(
        'ls -A /proc/fs /proc/bus /proc/irq /proc/scsi /proc/acpi /proc/driver 2>/dev/null | grep -v :$ | grep .',
      ),
    ).toBe('')
  })

  it('the numbers of the machine and of its start, which are the same in every sandbox', async () => {
    const show = 'cat /etc/machine-id /proc/sys/kernel/random/boot_id; hostname'
    const shown = await inside(show)
    expect(shown).toMatch(/^[0-9a-f]{32}\n[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\ncroft-box\n$/)
    const [machine, boot] = shown.split('\n')
    expect([ofHost('/etc/machine-id'), ofHost('/proc/sys/kernel/random/boot_id')]).not.toContain(`${machine}\n`)
    expect(ofHost('/proc/sys/kernel/random/boot_id')).not.toBe(`${boot}\n`)
    expect(await inside(show, (await house.launch()).agent)).toBe(shown)
  })

  it('anything that could be written to', async () => {
    const write = [
      'for file in sys/kernel/core_pattern sys/vm/drop_caches sysrq-trigger sys/kernel/hostname sys/kernel/random/boot_id keys; do',
      '  { echo 0 > /proc/$file; } 2>/dev/null && echo $file',
      'done; chmod 777 /proc/1 /proc/fs 2>/dev/null && echo chmod; mkdir /proc/1/x 2>/dev/null && echo mkdir; true',
    ]
    expect(await inside(write.join('\n'))).toBe('')
  })
})

describe('of the agent, a process inside', () => {
  it('sees no command line, state, memory or descriptors', async () => {
    expect(
      await inside('ls -A /proc/1; cat /proc/1/status /proc/1/cmdline /proc/1/stat /proc/1/task/1/stat 2>/dev/null'),
    ).toBe('exe\n')
    expect(await inside('ps -eo pid= | tr -d " " | grep -x 1')).toBe('')
  })

  it('has none of the descriptors, with a terminal, with control descriptors, or without', async () => {
    const kinds = [{}, { terminal: { rows: 24, columns: 80 } }, { control: true }]
    for (const kind of kinds) {
      const lists = await agent.spawn({
        argv: ['sh', '-c', 'ls -x /proc/$$/fd; echo end'],
        env: ENV,
        cwd: '/',
        ...kind,
      })
      const shown = (await readUntil(lists, 'end')).replace(/\s+/g, ' ')
      expect(shown).toBe('control' in kind ? '0 1 2 3 4 end ' : '0 1 2 end ')
    }
  })

  it('leaves no core, whatever limit it sets', async () => {
    expect(await inside('ulimit -Hc; ulimit -Sc')).toBe('0\n0\n')
    const crash = 'cd /workspace; ulimit -c unlimited 2>/dev/null; sh -c "kill -SEGV \\$\\$"; ls -A'
    expect(await inside(crash)).toBe('Segmentation fault\n')
  })
})
