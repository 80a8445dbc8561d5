import { join } from 'node:path'
import { EXECS_AT_ONCE, measureExec } from '../../../sdk/bench/measure-exec.ts'
import { Sandbox } from '../../../sdk/index.ts'
import { hasProgram } from '../fs/variants.ts'
import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { makeFolder } from '../service/folder.ts'
import { startServerProcess } from '../service/server-process.ts'
import type { Bench } from '../suite.ts'

const EXECS = 60
const STARTS = 8
const FILES = 200
const TARGET_EXEC_MS = 4
const TARGET_OF_BWRAP = 1 / 3
const TARGET_PER_SECOND = 1000
const TARGET_CREATE_MS = 25

/** What `croft bench exec` measures for a user, beside its targets. */
export async function execSuite(bench: Bench): Promise<Section[]> {
  if (!hasProgram('bwrap')) return [latencySection(TITLE, [], ['Nothing was measured: there is no bwrap.'])]
  await using running = await startServerProcess(join(bench.scratch, 'server'))
  const { server } = running
  const folder = makeFolder(join(bench.scratch, 'folder'), bench.quick ? 20 : FILES)
  const { codebaseId } = await server.uploadFolder(folder, { cache: false })
  const { start, exec, session, bwrap, perSecond } = await measureExec({
    create: () => Sandbox.create({ codebase: codebaseId, server, preset: 'development' }),
    runs: bench.runs,
    execs: bench.quick ? 5 : EXECS,
    starts: bench.quick ? 1 : STARTS,
    signal: bench.signal,
    onRun: (run) => bench.progress.show(`exec: run ${run} of ${bench.runs}`),
  })
  const target = { atMost: TARGET_EXEC_MS }
  const besideBwrap = { atMost: TARGET_OF_BWRAP, beside: 'bwrap' }
  const name = 'exec true, beside a new bwrap'
  const atOnce = `execs with ${EXECS_AT_ONCE} at once`
  const figures: Figure[] = [
    { name: 'exec true', of: 'croft', unit: 'ms', samples: exec, target },
    { name, of: 'croft', unit: 'ms', samples: exec, target: besideBwrap },
    { name, of: 'bwrap', unit: 'ms', samples: bwrap },
    { name: 'true in a session', of: 'croft', unit: 'ms', samples: session, target },
    { name: atOnce, of: 'croft', unit: 'per second', samples: perSecond, target: { atLeast: TARGET_PER_SECOND } },
    { name: 'create and start', of: 'croft', unit: 'ms', samples: start, target: { atMost: TARGET_CREATE_MS } },
  ]
  return [latencySection(TITLE, figures, NOTES)]
}

const TITLE = 'Commands, over gRPC on a unix socket'
const NOTES = [
  'From the call in the client to the result in its hands; client and server share the machine.',
  'bwrap: the same program behind a new bubblewrap each time, in the same runs.',
  'After some thousand calls, as of a server that has been up for a while: the first ones take up to twice as long.',
]
