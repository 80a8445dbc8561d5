import { Sandbox } from '../../../sdk/index.ts'
import type { Figure } from '../report/section.ts'
import type { Bench } from '../suite.ts'
import { sampleCount, timeEach } from './samples.ts'
import type { ServerProcess } from './server-process.ts'

const TARGET_CREATE_MS = 25
const TARGET_DESTROY_MS = 15
const TARGET_FILE_MS = 0.5
const WARM_UP = 3

/** Sandboxes that come and go one by one, each asked to run one command so that it is known to have started. */
export async function measureLife(bench: Bench, running: ServerProcess, codebase: string): Promise<Figure[]> {
  const created: number[] = []
  const firstOutput: number[] = []
  const destroyed: number[] = []
  const count = sampleCount(bench, 40)
  for (let at = 0; at < count; at++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`create and destroy: ${at + 1} of ${count}`)
    const beganMs = performance.now()
    const sandbox = await Sandbox.create({ codebase, server: running.server, preset: 'development' })
    created.push(performance.now() - beganMs)
    await sandbox.run(['true'], { check: true })
    firstOutput.push(performance.now() - beganMs)
    const destroyBeganMs = performance.now()
    await sandbox.kill()
    destroyed.push(performance.now() - destroyBeganMs)
  }
  return [
    { name: 'create and start', of: 'croft', unit: 'ms', samples: created, target: { atMost: TARGET_CREATE_MS } },
    { name: 'create, start and the first command', of: 'croft', unit: 'ms', samples: firstOutput },
    { name: 'destroy', of: 'croft', unit: 'ms', samples: destroyed, target: { atMost: TARGET_DESTROY_MS } },
  ]
}

export async function measureFiles(bench: Bench, running: ServerProcess, codebase: string): Promise<Figure[]> {
  await using sandbox = await Sandbox.create({ codebase, server: running.server, preset: 'development' })
  const kilobyte = Buffer.alloc(1024, 'croft ')
  bench.progress.show('files of 1 KiB')
  const count = sampleCount(bench, 400)
  // As of a server that has been up for a while: both compilers go on for about a thousand calls.
  for (let round = 0; round < WARM_UP; round++) {
    await timeEach(bench, count, () => sandbox.files.write('/warm', kilobyte))
    await timeEach(bench, count, () => sandbox.files.read('/warm'))
    await timeEach(bench, count, () => sandbox.files.stat('/warm'))
  }
  const written = await timeEach(bench, count, (at) => sandbox.files.write(`/file-${at}`, kilobyte))
  const read = await timeEach(bench, count, (at) => sandbox.files.read(`/file-${at}`))
  const stat = await timeEach(bench, count, (at) => sandbox.files.stat(`/file-${at}`))
  const target = { atMost: TARGET_FILE_MS }
  return [
    { name: 'write a file of 1 KiB', of: 'croft', unit: 'ms', samples: written, target },
    { name: 'read a file of 1 KiB', of: 'croft', unit: 'ms', samples: read, target },
    { name: 'stat of a file', of: 'croft', unit: 'ms', samples: stat, target },
  ]
}
