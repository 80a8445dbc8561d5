import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ENV, readUntil, runToEnd, sh } from '../../fixtures/agent-alone.ts'
import { commandLines } from './command-lines.ts'
import type { Given } from './given.ts'

/** Commands, their bytes, signals and terminals. */
export function processCases(given: () => Given): void {
  describe('a process', () => {
    it('gets its arguments, environment and directory as they are, and nothing of ours', async () => {
      mkdirSync(join(given().viewPath, 'its place'))
      const argv = [
        'python3',
        '-c',
        'import os,sys;print(os.fsencode(sys.argv[1]),dict(os.environ),os.getcwd())',
        Buffer.from([0x61, 0xff, 0x20]),
      ]
      const { stdout } = await runToEnd(given().agent, {
        argv,
        env: { PATH: ENV.PATH, A: '1 \'"' },
        cwd: '/workspace/its place',
      })
      expect(stdout.toString()).toContain(`b'a\\xff '`)
      expect(stdout.toString()).toContain('/workspace/its place')
      expect(stdout.toString()).toContain(`'A': '1 \\'"'`)
      expect(stdout.toString()).not.toContain('HOME')
    })

    it('is whole at its exit, where it has closed its output before, and where others still have it', async () => {
      const closed = await sh(given().agent, 'echo said; exec >&- 2>&-; exec sleep 0.05')
      expect(closed).toMatchObject({ code: 0 })
      expect(closed.stdout.toString()).toBe('said\n')
      const left = await sh(given().agent, 'echo first; (sleep 0.05; echo later) & exit 3')
      expect(left).toMatchObject({ code: 3 })
      expect(left.stdout.toString()).toBe('first\nlater\n')
    })

    it('that goes on without a word is known to have started', async () => {
      const process = await given().agent.spawn({ argv: ['sleep', '60'], env: ENV, cwd: '/' })
      expect(process.pid).toBeGreaterThan(1)
      process.signal(9, 'tree')
      expect(await process.exited).toMatchObject({ signal: 9 })
    })

    it('has its exit code, or the signal that ended it, and what it used', async () => {
      expect(await sh(given().agent, 'exit 255')).toMatchObject({ code: 255 })
      const killed = await sh(given().agent, 'kill -TERM $$')
      expect(killed.signal).toBe(15)
      expect(killed.code).toBeUndefined()
      const worked = await sh(given().agent, 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done')
      expect(worked.cpuUserUs + worked.cpuSystemUs).toBeGreaterThan(1000)
      expect(worked.maxRssBytes).toBeGreaterThan(100_000)
    })

    it.each([
      ['a program that is nowhere', { argv: ['no-such-program'] }, 'ENOENT'],
      ['a path that does not exist', { argv: ['/no/such'] }, 'ENOENT'],
      ['a file that is not executable', { argv: ['/etc/passwd'] }, 'EACCES'],
      ['a directory', { argv: ['/usr'] }, 'EACCES'],
      ['a missing working directory', { argv: ['true'], cwd: '/no/such' }, 'ENOENT'],
      ['an argument over the kernel’s limit', { argv: ['true', 'x'.repeat(128 << 10)] }, 'E2BIG'],
    ])('cannot be started from %s', async (_, change, errno) => {
      await expect(given().agent.spawn({ env: ENV, cwd: '/', ...change })).rejects.toMatchObject({
        code: 'spawn',
        errno,
      })
    })

    it('cannot be started from a file that is no program', async () => {
      writeFileSync(join(given().viewPath, 'garbage'), 'not a program', { mode: 0o755 })
      await expect(given().agent.spawn({ argv: ['/workspace/garbage'], env: ENV, cwd: '/' })).rejects.toMatchObject({
        errno: 'ENOEXEC',
      })
    })

    it('is found in the PATH of its own environment, and not in ours', async () => {
      await expect(given().agent.spawn({ argv: ['sh'], env: { PATH: '/nowhere:' }, cwd: '/' })).rejects.toMatchObject({
        errno: 'ENOENT',
      })
      expect(
        await runToEnd(given().agent, { argv: ['sh', '-c', 'exit 4'], env: { PATH: '/nowhere::/bin' } }),
      ).toMatchObject({
        code: 4,
      })
    })

    it('takes an argument of 127 KiB and an environment of a megabyte', async () => {
      const long = 'x'.repeat(127 << 10)
      const env = {
        ...ENV,
        ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`V${i}`, 'y'.repeat(100_000)])),
      }
      const { stdout } = await runToEnd(given().agent, {
        argv: ['sh', '-c', 'echo ${#1} ${#V0} ${#V9}', 'sh', long],
        env,
      })
      expect(stdout.toString()).toBe(`${127 << 10} 100000 100000\n`)
    })

    it('has /dev/null for stdin unless one is asked for', async () => {
      expect((await sh(given().agent, 'readlink /proc/self/fd/0')).stdout.toString()).toBe('/dev/null\n')
    })

    it('has three descriptors, default signals, no core file and no way to new privileges', async () => {
      // The shell opens what it lists; the child of a child sees what was passed on.
      const { stdout } = await sh(
        given().agent,
        'ls /proc/$$/fd; grep -E "SigBlk|SigIgn|NoNewPrivs" /proc/self/status; ulimit -c',
      )
      expect(stdout.toString()).toBe(
        '0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n0\n',
      )
    })

    it('leads a session of its own', async () => {
      const { stdout } = await sh(
        given().agent,
        'read -r _ _ _ _ group session _ < /proc/$$/stat; [ $group = $$ ] && echo $((session - $$))',
      )
      expect(stdout.toString()).toBe('0\n')
    })
  })

  describe('the bytes of a process', () => {
    it('come apart as stdout and stderr, in order and whole, 16 MiB of each', async () => {
      const bytes = 16 << 20
      const script = `head -c ${bytes} /dev/zero | tr '\\0' a & head -c ${bytes} /dev/zero | tr '\\0' b >&2; wait`
      const { stdout, stderr } = await sh(given().agent, script)
      const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex')
      expect(stdout.length).toBe(bytes)
      expect(digest(stdout)).toBe(digest(Buffer.alloc(bytes, 'a')))
      expect(digest(stderr)).toBe(digest(Buffer.alloc(bytes, 'b')))
    })

    it('go in by stdin, 16 MiB and any value, and come out the same', async () => {
      const input = Buffer.alloc(16 << 20)
      for (let at = 0; at < input.length; at++) input[at] = (at * 31 + (at >> 8)) & 255
      const { stdout } = await runToEnd(given().agent, { argv: ['cat'] }, input)
      expect(stdout.equals(input)).toBe(true)
    })

    it('stop coming when nobody reads, while other processes go on', async () => {
      const stuck = await given().agent.spawn({ argv: ['cat', '/dev/zero'], env: ENV, cwd: '/' })
      // One window here and one pipe there are all that is in between.
      await new Promise((resolve) => stuck.stdout.once('readable', resolve))
      expect((await sh(given().agent, 'echo fine')).stdout.toString()).toBe('fine\n')
      expect(stuck.stdout.readableLength).toBeLessThanOrEqual(262_144)
      stuck.stdout.destroy()
      // Its pipe is closed then, as if its reader had gone.
      expect(await stuck.exited).toMatchObject({ signal: 13 })
    })

    it('all come to a reader that takes its time', async () => {
      const process = await given().agent.spawn({ argv: ['head', '-c', '3000000', '/dev/zero'], env: ENV, cwd: '/' })
      let bytes = 0
      for await (const piece of process.stdout) {
        bytes += (piece as Buffer).length
        await new Promise(setImmediate)
      }
      expect(bytes).toBe(3_000_000)
    })

    it('that stood in the pipe when it ended are there before its exit is known', async () => {
      const process = await given().agent.spawn({
        argv: ['sh', '-c', 'head -c 50000 /dev/zero; sleep 60 & exit 0'],
        env: ENV,
        cwd: '/',
      })
      await process.exited
      expect(process.stdout.readableLength).toBe(50_000)
      process.signal(9, 'tree')
      for await (const _ of process.stdout);
    })

    it('are refused by one that has closed its stdin, which ends the writing', async () => {
      const process = await given().agent.spawn({
        argv: ['sh', '-c', 'exec <&-; echo closed; sleep 60'],
        env: ENV,
        cwd: '/',
        stdin: true,
      })
      // It may have closed it before we hear that it has started.
      if (process.stdin?.closed !== true) await new Promise((resolve) => process.stdin?.once('close', resolve))
      expect(process.stdin?.errored).toBeNull()
      const refused = new Promise((resolve) => process.stdin?.write('x', resolve))
      expect(await refused).toMatchObject({ code: 'ERR_STREAM_DESTROYED' })
      process.signal(9, 'tree')
      await process.exited
    })
  })

  describe('signals', () => {
    it('reach the process alone, or its group', async () => {
      const script = `trap 'echo parent' TERM; sh -c 'trap "echo child; exit" TERM; echo ready; while :; do sleep 0.01; done' & wait; wait; wait; echo over`
      const one = await given().agent.spawn({ argv: ['sh', '-c', script], env: ENV, cwd: '/' })
      await readUntil(one, 'ready')
      one.signal(15, 'process')
      await readUntil(one, 'parent')
      one.signal(15, 'group')
      const rest = await readUntil(one, 'over')
      expect(rest).toContain('child')
      await one.exited
    })

    it('reach the whole tree, also what forked twice, left its session and outlived its parents', async () => {
      const marker = '64025'
      const daemon = `import os,time\nif os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  os.execvp("sleep",["sleep","${marker}"])\n os._exit(0)`
      const tree = await given().agent.spawn({
        argv: ['sh', '-c', `python3 -c '${daemon}'; setsid setsid sleep ${marker} & echo started`],
        env: ENV,
        cwd: '/',
      })
      await tree.exited
      tree.signal(9, 'tree')
      // The ends of its pipes are the ends of all that held them.
      for await (const _ of tree.stdout);
      for await (const _ of tree.stderr);
      expect(await commandLines(given().agent)).not.toContain(marker)
    })

    it('spare the trees of other commands', async () => {
      const other = await given().agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })
      const tree = await given().agent.spawn({ argv: ['sleep', '60'], env: ENV, cwd: '/' })
      tree.signal(9, 'tree')
      expect(await tree.exited).toMatchObject({ signal: 9 })
      other.stdin?.end('still here')
      expect((await readUntil(other, 'here')).toString()).toBe('still here')
      expect(await other.exited).toMatchObject({ code: 0 })
    })

    it('that do not exist are refused before they are sent', async () => {
      const process = await given().agent.spawn({ argv: ['true'], env: ENV, cwd: '/' })
      expect(() => process.signal(0, 'process')).toThrow(RangeError)
      expect(() => process.signal(65, 'process')).toThrow(RangeError)
      await process.exited
    })
  })

  describe('a terminal', () => {
    it('is the process’s own, has the size that was asked for, and the next one when it changes', async () => {
      const script = 'tty; stty size; trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.01; done'
      const process = await given().agent.spawn({
        argv: ['sh', '-c', script],
        env: ENV,
        cwd: '/',
        terminal: { rows: 30, columns: 101 },
      })
      const first = await readUntil(process, 'ready')
      expect(first).toMatch(/^\/dev\/pts\/\d+\r\n30 101\r\n/)
      process.resize(40, 120)
      expect(await readUntil(process, '40 120')).toContain('40 120')
      await process.exited
    })

    it('takes what is typed, an interrupt as a signal, and an end of input as one', async () => {
      const echo = await given().agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', terminal: { rows: 24, columns: 80 } })
      echo.stdin?.write('typed\n')
      // Once as the echo, once from cat.
      expect(await readUntil(echo, 'typed\r\ntyped\r\n')).toBe('typed\r\ntyped\r\n')
      echo.stdin?.end()
      expect(await echo.exited).toMatchObject({ code: 0 })

      const interrupted = await given().agent.spawn({
        argv: ['cat'],
        env: ENV,
        cwd: '/',
        terminal: { rows: 24, columns: 80 },
      })
      interrupted.stdin?.write('typed\n')
      await readUntil(interrupted, 'typed\r\ntyped\r\n')
      interrupted.stdin?.write('\x03')
      expect(await interrupted.exited).toMatchObject({ signal: 2 })
    })
  })
}
