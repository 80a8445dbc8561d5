import type { Readable } from 'node:stream'
import type { ImageProgress } from '../contract/runtime.ts'
import { MAX_FETCH_LINE_BYTES, MAX_IMAGE_LAYERS } from './limits.ts'

interface Line {
  readonly id?: unknown
  readonly error?: unknown
  readonly errorDetail?: { readonly message?: unknown }
  readonly progressDetail?: { readonly current?: unknown; readonly total?: unknown } | null
}

/**
 * Reads what an engine tells of a pull or a load, one JSON object in each line, to its end. Throws with what it says of
 * a failure: that comes in a line too, as the answer has begun by then. Nothing of it is believed beyond its form.
 */
export async function followFetch(
  lines: Readable,
  phase: ImageProgress['phase'],
  onProgress: ((progress: ImageProgress) => void) | undefined,
): Promise<void> {
  const layers = new Map<string, { bytes: number; totalBytes: number }>()
  for await (const line of linesOf(lines)) {
    const { id, error, errorDetail, progressDetail } = line
    const failure = errorDetail?.message ?? error
    if (failure !== undefined) throw new Error(String(failure).slice(0, MAX_FAILURE_CHARACTERS))
    const [bytes, totalBytes] = [progressDetail?.current, progressDetail?.total]
    if (typeof id !== 'string' || !isSize(bytes) || !isSize(totalBytes)) continue
    const known = layers.get(id)
    if (known === undefined && layers.size === MAX_IMAGE_LAYERS) continue
    // Unpacking a layer begins at 0 again, and is no part of what is fetched.
    layers.set(id, { bytes: Math.min(Math.max(bytes, known?.bytes ?? 0), totalBytes), totalBytes })
    onProgress?.({ phase, ...sumOf([...layers.values()]) })
  }
}

const MAX_FAILURE_CHARACTERS = 500

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function sumOf(layers: readonly { bytes: number; totalBytes: number }[]) {
  return {
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
    totalBytes: layers.reduce((sum, layer) => sum + layer.totalBytes, 0),
  }
}

async function* linesOf(stream: Readable): AsyncGenerator<Line> {
  let rest = ''
  for await (const piece of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_FETCH_LINE_BYTES) throw new Error('the engine tells of its progress in a line without end')
    yield* lines.flatMap(parse)
  }
  yield* parse(rest)
}

function parse(text: string): Line[] {
  if (text.trim() === '') return []
  const line: unknown = JSON.parse(text)
  return typeof line === 'object' && line !== null ? [line] : []
}
