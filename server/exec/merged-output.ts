import type { Readable } from 'node:stream'
import { ExecOutput_OutputType } from '../../proto/index.ts'
import type { AgentProcess, ExitStatus } from '../../runtimes/contract/agent.ts'
import { MAX_GRACES } from './process.ts'

export interface OutputPiece {
  readonly type: ExecOutput_OutputType
  readonly data: Buffer
}

/** What may wait here for a client that reads slowly; then the command is made to wait. */
const MAX_WAITING_BYTES = 256 * 1024

/**
 * stdout and stderr in the order in which they came. Ends when both have ended; or, for what the command left
 * behind may hold them open, when they have been silent for `graceMs` after its end. Rejects when the sandbox is
 * gone.
 */
export async function* mergedOutput(
  process: Pick<AgentProcess, 'stdout' | 'stderr'>,
  whenExited: Promise<ExitStatus>,
  graceMs: number,
): AsyncGenerator<OutputPiece> {
  const waiting: OutputPiece[] = []
  let waitingBytes = 0
  let open = 2
  let wake: () => void = () => undefined
  let exited: ExitStatus | undefined
  let failure: { readonly error: unknown } | undefined
  const streams = [process.stdout, process.stderr]

  const listen = (stream: Readable, type: ExecOutput_OutputType) => {
    let closed = false
    const close = () => {
      if (closed) return
      closed = true
      open -= 1
      wake()
    }
    stream.on('data', (data: Buffer) => {
      waiting.push({ type, data })
      waitingBytes += data.length
      if (waitingBytes >= MAX_WAITING_BYTES) for (const one of streams) one.pause()
      wake()
    })
    stream.once('end', close)
    stream.once('close', close)
    stream.once('error', close)
  }
  listen(process.stdout, ExecOutput_OutputType.STDOUT)
  listen(process.stderr, ExecOutput_OutputType.STDERR)
  whenExited.then(
    (status) => {
      exited = status
      wake()
    },
    (error: unknown) => {
      failure = { error }
      wake()
    },
  )

  let latest = Number.POSITIVE_INFINITY
  try {
    for (;;) {
      for (let piece = waiting.shift(); piece !== undefined; piece = waiting.shift()) {
        waitingBytes -= piece.data.length
        if (waitingBytes < MAX_WAITING_BYTES && streams[0]?.isPaused()) for (const one of streams) one.resume()
        yield piece
        if (performance.now() > latest) return
      }
      if (failure !== undefined) throw failure.error
      if (open === 0) return
      if (exited !== undefined && latest === Number.POSITIVE_INFINITY) latest = performance.now() + graceMs * MAX_GRACES
      const woken = new Promise<true>((resolve) => {
        wake = () => resolve(true)
      })
      if (exited === undefined) await woken
      else if (!(await within(woken, graceMs))) return
    }
  } finally {
    // Read on, for nobody: a full pipe would stop who writes to it, a closed one would kill him.
    for (const stream of streams) {
      stream.removeAllListeners('data')
      stream.resume()
    }
  }
}

async function within(event: Promise<true>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([event, late])
  } finally {
    clearTimeout(timer)
  }
}
