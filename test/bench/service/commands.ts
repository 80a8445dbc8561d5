import { Sandbox } from '../../../sdk/index.ts'
import { runToEnd } from '../child.ts'
import type { Figure } from '../report/section.ts'
import type { Bench } from '../suite.ts'
import { sampleCount, timeEach } from './samples.ts'
import type { ServerProcess } from './server-process.ts'

const AT_ONCE = 16
const TARGET_EXEC_MS = 4
const TARGET_PER_SECOND = 1000

/** Commands in one sandbox; beside each `true` a bubblewrap that is started for it alone, from this process. */
export async function measureCommands(bench: Bench, running: ServerProcess, codebase: string): Promise<Figure[]> {
  await using sandbox = await Sandbox.create({ codebase, server: running.server, preset: 'development' })
  await using session = await sandbox.session()
  const exec = () => sandbox.run(['true'], { check: true })
  const inSession = () => session.run('true', { check: true })
  const plain = () => runToEnd('bwrap', PLAIN_BWRAP, { signal: bench.signal })
  await Promise.all([exec(), inSession(), plain()])

  const samples = { exec: [] as number[], session: [] as number[], bwrap: [] as number[], rate: [] as number[] }
  const each = Math.ceil(sampleCount(bench, 200) / bench.runs)
  for (let run = 0; run < bench.runs; run++) {
    bench.progress.show(`commands: run ${run + 1} of ${bench.runs}`)
    samples.exec.push(...(await timeEach(bench, each, exec)))
    samples.bwrap.push(...(await timeEach(bench, each, plain)))
    samples.session.push(...(await timeEach(bench, each, inSession)))
    samples.rate.push(await perSecond(bench, sampleCount(bench, 400), exec))
  }
  const ms = 'ms'
  return [
    { name: 'exec true', of: 'croft', unit: ms, samples: samples.exec, target: { atMost: TARGET_EXEC_MS } },
    {
      name: 'exec true, beside a new bwrap',
      of: 'croft',
      unit: ms,
      samples: samples.exec,
      target: { atMost: 1 / 3, beside: 'bwrap' },
    },
    { name: 'exec true, beside a new bwrap', of: 'bwrap', unit: ms, samples: samples.bwrap },
    { name: 'true in a session', of: 'croft', unit: ms, samples: samples.session, target: { atMost: TARGET_EXEC_MS } },
    {
      name: `execs with ${AT_ONCE} at once`,
      of: 'croft',
      unit: 'per second',
      samples: samples.rate,
      target: { atLeast: TARGET_PER_SECOND },
    },
  ]
}

/** The least that makes a boundary like ours. */
const PLAIN_BWRAP = [
  ...['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--clearenv'],
  ...['--ro-bind', '/usr', '/usr', '--symlink', 'usr/bin', '/bin', '--symlink', 'usr/lib', '/lib'],
  ...['--symlink', 'usr/lib64', '/lib64', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '/usr/bin/true'],
]

async function perSecond(bench: Bench, count: number, call: () => Promise<unknown>): Promise<number> {
  let left = count
  const beganMs = performance.now()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (; left > 0 && !bench.signal.aborted; ) {
        left--
        await call()
      }
    }),
  )
  bench.signal.throwIfAborted()
  return (count * 1000) / (performance.now() - beganMs)
}
