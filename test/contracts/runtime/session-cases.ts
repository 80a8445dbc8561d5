import { appendFileSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openShell, type Shell, type ShellResult, type ShellRunOptions } from '../../../runtimes/agent/shell.ts'
import { ENV, sh } from '../../fixtures/agent-alone.ts'
import type { Given } from './given.ts'

/** Shells that are kept. */
export function sessionCases(given: () => Given): void {
  describe.each(['sh', 'bash', 'dash', 'busybox'] as const)('a session of %s', (name) => {
    let shell: Shell

    const open = (interruptGraceMs: number) => {
      const program = name === 'busybox' ? '/workspace/.shells/sh' : name
      return openShell(given().agent, { shell: program, env: ENV, cwd: '/', interruptGraceMs })
    }

    beforeEach(async () => {
      // Busybox is the shell that its name says.
      const shells = join(given().viewPath, '.shells')
      mkdirSync(shells, { recursive: true })
      if (!existsSync(join(shells, 'sh'))) symlinkSync('/bin/busybox', join(shells, 'sh'))
      shell = await open(10_000)
    })
    afterEach(() => shell.close())

    async function run(
      command: string,
      options: ShellRunOptions = {},
    ): Promise<ShellResult & { stdout: string; stderr: string }> {
      const stdout: Buffer[] = []
      const stderr: Buffer[] = []
      const result = await shell.run(command, {
        onStdout: (data) => void stdout.push(data),
        onStderr: (data) => void stderr.push(data),
        ...options,
      })
      return {
        ...result,
        stdout: Buffer.concat(stdout).toString('latin1'),
        stderr: Buffer.concat(stderr).toString('latin1'),
      }
    }

    it('keeps directory, variables, functions and options', async () => {
      await run('cd /usr; X="a  b"; export Y=2; f() { echo "f $1"; }')
      expect((await run('pwd; echo "$X"; sh -c \'echo $Y\'; f 3')).stdout).toBe('/usr\na  b\n2\nf 3\n')
      await run('set -u')
      expect((await run('(echo "$no_such")')).stderr).toMatch(/no_such/)
    })

    it('says what each command used, its own, its children’s and that of the one that ends it', async () => {
      const loop = 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'
      const cpuUs = ({ used }: ShellResult) => (used?.cpuUserUs ?? -1) + (used?.cpuSystemUs ?? 0)
      const own = cpuUs(await run(loop))
      expect(own).toBeGreaterThan(10_000)
      expect(cpuUs(await run(`sh -c '${loop}'`))).toBeGreaterThan(10_000)
      const little = cpuUs(await run(':'))
      expect(little).toBeGreaterThanOrEqual(0)
      expect(little).toBeLessThan(own)
      const last = await run(`${loop}; exit 4`)
      expect(last).toMatchObject({ exitCode: 4, shellEnded: true })
      expect(cpuUs(last)).toBeGreaterThan(10_000)
    })

    it('gives each command its own stdout, stderr and exit code', async () => {
      expect(await run('echo out; echo err >&2; (exit 7)')).toMatchObject({
        stdout: 'out\n',
        stderr: 'err\n',
        exitCode: 7,
        shellEnded: false,
      })
      expect(await run('true')).toMatchObject({ stdout: '', stderr: '', exitCode: 0 })
      expect(await run('no-such-program')).toMatchObject({ exitCode: 127 })
    })

    it.each([
      ['output without a newline', 'printf abc', 'abc'],
      ['a comment at the end', 'echo a # b', 'a\n'],
      ['a here-document', 'cat <<E\n$((1+1))\n\'"\nE\n', '2\n\'"\n'],
      ['a here-document that does not end', 'cat <<E\nrest', 'rest'],
      ['quotes of every kind', `echo 'a'"b"\\'c "'"`, `ab'c '\n`],
      ['a backslash at the end', 'echo a\\', 'a'],
      ['many lines', 'for i in 1 2\ndo\n  echo $i\ndone', '1\n2\n'],
      ['nothing', '', ''],
      ['a command that looks like a marker', "printf '1 0\\n2 0\\n3 0\\n'", '1 0\n2 0\n3 0\n'],
      ['a stray break', 'break; :', ''],
    ])('runs %s', async (_, command, stdout) => {
      const result = await run(command)
      expect(result.stdout.replace('\\', '').trimEnd()).toBe(stdout.trimEnd())
      expect(result.shellEnded).toBe(false)
      expect((await run('echo next')).stdout).toBe('next\n')
    })

    it.each([
      ['an unfinished if', 'if true; then'],
      ['an unfinished quote', 'echo "a'],
      ['a stray parenthesis', 'echo )'],
    ])('lives on after a syntax error: %s', async (_, command) => {
      const result = await run(command)
      expect(result.exitCode).not.toBe(0)
      expect(result.stderr).not.toBe('')
      expect((await run('echo still here')).stdout).toBe('still here\n')
    })

    it('keeps its traps, and runs the one for its end', async () => {
      await run('trap "echo usr1" USR1; trap "echo bye" EXIT')
      expect((await run('kill -USR1 $$; echo after')).stdout).toBe('usr1\nafter\n')
      expect(await run('exit 5')).toMatchObject({ exitCode: 5, shellEnded: true, stdout: 'bye\n' })
    })

    it('keeps a trap of its own for interrupts, and is interrupted all the same', async () => {
      await run('trap "echo mine" INT')
      const late = await run('echo before; sleep 60', { timeoutMs: 200 })
      expect(late).toMatchObject({ timedOut: true, shellEnded: false })
      expect(late.stdout).toMatch(/^before\n(mine\n)+$/)
      expect((await run('echo next')).stdout).toBe('next\n')
    })

    it('keeps what a command did to its descriptors, its options and its arguments', async () => {
      await run('exec 5>&1; set -- one two; set -f')
      expect((await run('echo *; echo $2 >&5')).stdout).toBe('*\ntwo\n')
    })

    it('of one sandbox knows nothing of another beside it, which runs at the same time', async () => {
      const other = await open(10_000)
      const pipe = `/tmp/beside-${name}`
      await run(`mkfifo ${pipe}; X=first`)
      const waiting = run(`read -r line < ${pipe}; echo "$X $line"`)
      // Each waits for the other: one after the other they would never end.
      await other.run(`X=second; echo "from $X" > ${pipe}; rm ${pipe}`)
      expect((await waiting).stdout).toBe('first from second\n')
      await other.close()
    })

    it('gives output as it comes, while the command goes on', async () => {
      const pipe = `/workspace/live-${name}`
      await run(`mkfifo ${pipe}`)
      const seen: string[] = []
      const running = shell.run(`printf one; read -r line < ${pipe}; printf two`, {
        // Only when the first has come does the second become possible.
        onStdout: (data) => {
          seen.push(data.toString())
          if (seen.length === 1) appendFileSync(join(given().viewPath, `live-${name}`), 'go\n')
        },
      })
      expect(await running).toMatchObject({ exitCode: 0 })
      expect(seen).toEqual(['one', 'two'])
    })

    it('is known to have ended at once when it is killed between two commands', async () => {
      const { stdout } = await run('echo $$')
      await sh(given().agent, `kill -9 ${stdout}`)
      await shell.closed
      await expect(shell.run('true')).rejects.toMatchObject({ code: 'closed' })
    })

    it('takes its background children along, however it ends', async () => {
      for (const end of ['exit 0', 'kill -9 $$']) {
        const ending = await open(10_000)
        const printed: Buffer[] = []
        const script = `sleep 64 & echo $!; (setsid sleep 64 & echo $!); ${end}`
        const result = await ending.run(script, { onStdout: (data) => void printed.push(data) })
        expect(result.shellEnded).toBe(true)
        const pids = Buffer.concat(printed).toString()
        expect(pids).toMatch(/^\d+\n\d+\n$/)
        const { stdout } = await sh(
          given().agent,
          `for p in ${pids.replaceAll('\n', ' ')}; do readlink /proc/$p/exe; done`,
        )
        expect(stdout.toString()).toBe('')
      }
    })

    it('remembers $? for the next command', async () => {
      await run('(exit 42)')
      expect((await run('echo $?')).stdout).toBe('42\n')
      expect((await run('echo $?')).stdout).toBe('0\n')
    })

    it('gives commands an empty stdin, and none of its own descriptors', async () => {
      expect((await run('cat; readlink /proc/self/fd/0')).stdout).toBe('/dev/null\n')
      expect((await run('ls /proc/self/fd')).stdout).toBe('0\n1\n2\n3\n')
    })

    it('carries any byte, a megabyte in one line, and a command of a hundred kilobytes', async () => {
      const all = Array.from({ length: 256 }, (_, i) => `\\${i.toString(8).padStart(3, '0')}`).join('')
      expect((await run(`printf '${all}'`)).stdout).toBe(
        String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i)),
      )
      const line = await run("head -c 1048576 /dev/zero | tr '\\0' x; echo")
      expect(line.stdout).toBe(`${'x'.repeat(1 << 20)}\n`)
      expect((await run(`echo ${'y'.repeat(100_000)}`)).stdout).toBe(`${'y'.repeat(100_000)}\n`)
    })

    it('returns at once from a background job, whose output comes with a later command', async () => {
      const pipe = `/tmp/late-${name}`
      await run(`mkfifo ${pipe}; { read -r line < ${pipe}; echo "late $line"; } &`)
      // The job writes before its end, and `wait` returns after that.
      expect((await run(`echo now > ${pipe}; wait; rm ${pipe}`)).stdout).toBe('late now\n')
    })

    it('runs commands one after the other, in the order they were given', async () => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => run(`N=$((\${N-0} + 1)); echo ${i} $N`)))
      expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 20 }, (_, i) => `${i} ${i + 1}\n`))
    })

    it('ends with `exit`, whose code is the result, all output before it included', async () => {
      expect(await run('echo bye; exit 3')).toMatchObject({ exitCode: 3, shellEnded: true, stdout: 'bye\n' })
      await shell.closed
      await expect(shell.run('true')).rejects.toMatchObject({ code: 'closed' })
    })

    it('ends with `exit` even while a background job holds its pipes', async () => {
      expect(await run('sleep 60 & echo bye; exit 0')).toMatchObject({ exitCode: 0, shellEnded: true, stdout: 'bye\n' })
    })

    it('ends by `set -e` at the first failure, with its code', async () => {
      expect(await run('set -e; true')).toMatchObject({ exitCode: 0, shellEnded: false })
      expect(await run('(exit 9); echo not reached')).toMatchObject({ exitCode: 9, shellEnded: true, stdout: '' })
    })

    it('ends by a signal with 128 and its number', async () => {
      expect(await run('kill -9 $$')).toMatchObject({ exitCode: 137, shellEnded: true })
    })

    it('interrupts a command that outran its time, keeps what it printed, and lives on', async () => {
      await run('X=kept')
      const late = await run('echo before; exec 5<>/dev/null; sleep 60', { timeoutMs: 200 })
      expect(late).toMatchObject({ timedOut: true, shellEnded: false, stdout: 'before\n' })
      expect((await run('echo $X')).stdout).toBe('kept\n')
    })

    it('ends with a command that does not let itself be interrupted', async () => {
      shell = await open(100)
      const stubborn = await run('trap "" INT; while :; do :; done', { timeoutMs: 50 })
      expect(stubborn).toMatchObject({ timedOut: true, shellEnded: true, exitCode: 137 })
      await shell.closed
    })

    it('stops a command that is aborted, and rejects with the reason', async () => {
      const abort = new AbortController()
      const reason = new Error('enough')
      const running = run('echo started; sleep 60', { signal: abort.signal, onStdout: () => abort.abort(reason) })
      await expect(running).rejects.toBe(reason)
      expect((await run('echo next')).stdout).toBe('next\n')
    })

    it('stops the command whose listener does not keep up, and loses nothing', async () => {
      let seen = 0
      let over = false
      const release: (() => void)[] = []
      const running = shell.run('head -c 2000000 /dev/zero', {
        onStdout: (data) => {
          seen += data.length
          return new Promise((resolve) => release.push(resolve))
        },
      })
      // Answers each piece only after the next turn of the loop: the pieces never overlap.
      const answer = () => {
        expect(release.length).toBeLessThanOrEqual(1)
        release.pop()?.()
        if (!over) setImmediate(answer)
      }
      answer()
      await running
      over = true
      expect(seen).toBe(2_000_000)
    })

    it('leaves nothing when it is closed, daemons included', async () => {
      const { stdout } = await run('setsid sleep 62 & echo $!; (setsid sleep 63 & echo $!)')
      await shell.close()
      expect(stdout).toMatch(/^\d+\n\d+\n$/)
      // Dead, and not yet waited for at most: then there is no program in it.
      const { stdout: alive } = await sh(
        given().agent,
        `for p in ${stdout.replaceAll('\n', ' ')}; do readlink /proc/$p/exe; done`,
      )
      expect(alive.toString()).toBe('')
    })
  })

  describe('opening a session', () => {
    it.each(['no-such-shell', 'cat', 'true'])('fails with %s, which is no shell', async (shell) => {
      await expect(openShell(given().agent, { shell, env: ENV, cwd: '/', startTimeoutMs: 200 })).rejects.toMatchObject({
        code: 'failed',
      })
    })

    it('refuses a command with a NUL', async () => {
      const shell = await openShell(given().agent, { env: ENV, cwd: '/' })
      await expect(shell.run('a\0b')).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringContaining('command') as string,
      })
      await shell.close()
    })
  })
}
