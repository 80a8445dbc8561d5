// The process that serves the views of the benchmark: `view-server KIND BASE HOME`, see `view-process.ts`.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { serveInProcess } from './serve-in-process.ts'
import { serveLayer } from './serve-layer.ts'
import { takeIn } from './served-views.ts'
import type { ViewAnswer, ViewCall } from './view-process.ts'

const [kind = '', base = '', home = ''] = process.argv.slice(2)

const hash = await takeIn(base, home)
const served = await (kind === 'layer' ? serveLayer(hash, home) : serveInProcess(hash, home))
process.on('message', (call: ViewCall) => void answer(call))
// Whoever started this wants it to end, or is gone.
process.once('disconnect', () => void served[Symbol.asyncDispose]())
say({ value: null })

async function answer(call: ViewCall): Promise<void> {
  try {
    say({ value: (await perform(call)) ?? null })
  } catch (error) {
    say({ error: error instanceof Error ? error.message : String(error) })
  }
}

async function perform(call: ViewCall): Promise<unknown> {
  const deltaDir = join(home, `delta-${kind}-${call.view}`)
  if (call.op === 'counts') return served.counts(call.view)
  if (call.op === 'open') return await served.open(call, deltaDir)
  await served.close(call.view)
  return rmSync(deltaDir, { recursive: true, force: true })
}

function say(answer: ViewAnswer): void {
  process.send?.(answer)
}
