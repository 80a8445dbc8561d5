import { join } from 'node:path'
import { hasProgram } from '../fs/variants.ts'
import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { type Bench, isChosen } from '../suite.ts'
import { makeFolder } from './folder.ts'
import { measureFiles, measureLife } from './life.ts'
import { measureIdle, measureRestart } from './many.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { measureSnapshots } from './snapshots.ts'
import { measureUploads } from './uploads.ts'

/** What a client of the SDK waits for, over gRPC on a unix socket. */
export async function serviceSuite(bench: Bench): Promise<Section[]> {
  if (!hasProgram('bwrap')) return [latencySection(TITLE, [], ['Nothing was measured: there is no bwrap.'])]
  const figures: Figure[] = []
  if (isChosen('uploads', bench.steps)) figures.push(...(await measureUploads(bench)))
  const folder = makeFolder(join(bench.scratch, 'folder'), bench.quick ? 20 : 200)
  await measureWithServer(bench, folder, figures)
  if (isChosen('snapshots', bench.steps)) figures.push(...(await measureSnapshots(bench)))
  if (isChosen('restart', bench.steps)) figures.push(...(await measureRestart(bench, folder)))
  return [latencySection(TITLE, figures, NOTES)]
}

const TITLE = 'The service, over gRPC on a unix socket'
const NOTES = [
  'From the call in the client to the result in its hands; client and server share the machine.',
  'No pool of sandboxes: this version has none.',
  'Memory: proportional set size of the server and all processes below it, divided by the sandboxes; not what the kernel keeps.',
]

const PARTS: Record<string, (bench: Bench, running: ServerProcess, codebase: string) => Promise<Figure[]>> = {
  life: measureLife,
  files: measureFiles,
  idle: measureIdle,
}

async function measureWithServer(bench: Bench, folder: string, figures: Figure[]): Promise<void> {
  const parts = Object.entries(PARTS).filter(([name]) => isChosen(name, bench.steps))
  if (parts.length === 0) return
  await using running = await startServerProcess(join(bench.scratch, 'server'))
  const { codebaseId } = await running.server.uploadFolder(folder, { cache: false })
  for (const [, measure] of parts) figures.push(...(await measure(bench, running, codebaseId)))
}
