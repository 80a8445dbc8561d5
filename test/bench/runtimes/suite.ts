import { join } from 'node:path'
import { Sandbox } from '../../../sdk/index.ts'
import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { makeFolder } from '../service/folder.ts'
import { sampleCount, timeEach } from '../service/samples.ts'
import { startServerProcess } from '../service/server-process.ts'
import { type Bench, isChosen } from '../suite.ts'
import { openPeers, type Peer } from './peers.ts'

const CYCLES_PER_RUN = 10
const EXECS_PER_RUN = 40
const MANY = 100
const AT_ONCE = 10
const FILES = 200
const TARGET_COLD = 1.1
const TARGET_EXEC_MS = 5
const HELLO = ['echo', 'hello']

/** Each runtime that runs here, alternating with what does the same job without us. */
export async function runtimesSuite(bench: Bench): Promise<Section[]> {
  await using opened = await openPeers(bench.signal)
  const { peers, notes } = opened
  const env = Object.assign({}, ...peers.map((peer) => peer.env)) as Record<string, string>
  await using running = await startServerProcess(join(bench.scratch, 'server'), env)
  const folder = makeFolder(join(bench.scratch, 'folder'), bench.quick ? 20 : FILES)
  const { codebaseId } = await running.server.uploadFolder(folder, { cache: false })
  const sections: Section[] = []
  for (const peer of peers.filter(({ runtime }) => isChosen(runtime, bench.steps))) {
    const create = (start: boolean) =>
      Sandbox.create({
        ...{ codebase: codebaseId, server: running.server, preset: 'development', runtime: peer.runtime, start },
        ...(peer.image === undefined ? {} : { image: peer.image }),
      })
    sections.push(await measure(bench, peer, create))
  }
  return [...sections, { ...latencySection('Runtimes that were not measured', [], notes) }].filter(
    ({ rows, notes: lines }) => rows.length + lines.length > 0,
  )
}

async function measure(bench: Bench, peer: Peer, create: (start: boolean) => Promise<Sandbox>): Promise<Section> {
  const { signal } = bench
  const each = { create: [], start: [], exec: [], stop: [], remove: [] } as Record<string, number[]>
  const [cold, coldBeside, execs, execsBeside] = [[], [], [], []] as number[][] as [
    number[],
    number[],
    number[],
    number[],
  ]
  const own = 'croft'
  const failures: string[] = []
  // An engine that is busy fails now and then; that is a figure too.
  const orCount = async (of: string, work: () => Promise<unknown>) => {
    try {
      await work()
    } catch (error) {
      signal.throwIfAborted()
      failures.push(`${of}: ${lastLine(error)}`)
    }
  }
  const show = (what: string) => bench.progress.show(`${peer.runtime}: ${what}`)

  await using held = await create(true)
  await held.run(HELLO, { check: true })
  for (let run = 1; run <= bench.runs; run++) {
    show(`run ${run} of ${bench.runs}`)
    for (let at = 0; at < sampleCount(bench, CYCLES_PER_RUN); at++) {
      await orCount(own, () => cycle(create, each))
      await orCount(own, async () => cold.push(...(await timeEach(bench, 1, () => coldRun(create)))))
      await orCount(peer.name, async () =>
        coldBeside.push(...(await timeEach(bench, 1, () => peer.run(HELLO, signal)))),
      )
    }
    execs.push(...(await timeEach(bench, sampleCount(bench, EXECS_PER_RUN), () => held.run(HELLO, { check: true }))))
    const { exec } = peer
    if (exec !== undefined)
      execsBeside.push(...(await timeEach(bench, sampleCount(bench, CYCLES_PER_RUN), () => exec(HELLO, signal))))
  }
  show(`${MANY} cycles, ${AT_ONCE} at once`)
  const many = await manyAtOnce(bench, create)

  const coldName = 'cold run of `echo hello`, from create to removed'
  const execName = '`echo hello` in one that runs'
  // Bubblewrap alone has no files of its own, no view and nothing to remove.
  const coldTarget = peer.exec === undefined ? {} : { target: { atMost: TARGET_COLD, beside: peer.name } }
  const figures: Figure[] = [
    ...Object.entries(each).map(([name, samples]) => ({ name, of: own, unit: 'ms' as const, samples })),
    { name: coldName, of: own, unit: 'ms', samples: cold, ...coldTarget },
    { name: coldName, of: peer.name, unit: 'ms', samples: coldBeside },
    { name: execName, of: own, unit: 'ms', samples: execs, target: { atMost: TARGET_EXEC_MS } },
    ...(execsBeside.length === 0 ? [] : [{ name: execName, of: peer.name, unit: 'ms' as const, samples: execsBeside }]),
    { name: `a cycle, ${AT_ONCE} at once`, of: own, unit: 'ms', samples: many.cycleMs },
    { name: `cycles, ${AT_ONCE} at once`, of: own, unit: 'per second', samples: [many.perSecond] },
  ]
  return latencySection(`The ${peer.runtime} runtime`, figures, [
    `Of ${many.cycleMs.length + many.failures.length} cycles with ${AT_ONCE} at once ${many.cycleMs.length} succeeded.`,
    ...[...failures, ...many.failures].map((failure) => `Failed: ${failure}`),
  ])
}

async function cycle(create: (start: boolean) => Promise<Sandbox>, into: Record<string, number[]>): Promise<void> {
  const time = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const beganMs = performance.now()
    const result = await work()
    into[name]?.push(performance.now() - beganMs)
    return result
  }
  const sandbox = await time('create', () => create(false))
  await time('start', () => sandbox.start())
  await time('exec', () => sandbox.run(HELLO, { check: true }))
  await time('stop', () => sandbox.stop())
  await time('remove', () => sandbox.kill())
}

async function coldRun(create: (start: boolean) => Promise<Sandbox>): Promise<void> {
  await using sandbox = await create(true)
  await sandbox.run(HELLO, { check: true })
}

function lastLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().split('\n').at(-1) ?? ''
}

interface Many {
  readonly cycleMs: readonly number[]
  readonly failures: readonly string[]
  readonly perSecond: number
}

async function manyAtOnce(bench: Bench, create: (start: boolean) => Promise<Sandbox>): Promise<Many> {
  const count = bench.quick ? AT_ONCE : MANY
  const cycleMs: number[] = []
  const failures: string[] = []
  let left = count
  const beganMs = performance.now()
  const oneAfterTheOther = async () => {
    for (; left > 0 && !bench.signal.aborted; ) {
      left -= 1
      const cycleBeganMs = performance.now()
      try {
        await cycle(create, {})
        cycleMs.push(performance.now() - cycleBeganMs)
      } catch (error) {
        failures.push(lastLine(error))
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, oneAfterTheOther))
  bench.signal.throwIfAborted()
  return { cycleMs, failures, perSecond: (cycleMs.length * 1000) / (performance.now() - beganMs) }
}
