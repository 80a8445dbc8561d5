import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { DeviceName } from '../../../fs-layer/device/device.ts'
import { endChild } from '../child.ts'

/** What the process that serves the views is asked. `open` begins with an empty delta. */
export type ViewCall =
  | {
      readonly op: 'open'
      readonly view: string
      readonly target: string
      readonly device: DeviceName
      /** False: without trail and events (`in-process` only). */
      readonly observed: boolean
    }
  | { readonly op: 'close'; readonly view: string }
  | { readonly op: 'counts'; readonly view: string }

export type ViewAnswer = { readonly value: unknown } | { readonly error: string }

/** The process that serves views: another one than the benchmark's, for a mount must not wait for who uses it. */
export interface ViewProcess extends AsyncDisposable {
  readonly pid: number
  /** One at a time. Resolves with requests by opcode for `counts`. */
  call(call: ViewCall): Promise<unknown>
}

export interface ViewProcessOptions {
  /** `layer`: as in the server, from a thread of its own. `in-process`: where requests are counted and fuse-native works. */
  readonly kind: 'layer' | 'in-process'
  /** The folder that is shown. */
  readonly base: string
  /** Store and deltas. A later process on it finds the base there; one at a time. */
  readonly home: string
  readonly profileDir?: string
}

/** Resolves when the base is in the store. */
export async function startViewProcess(options: ViewProcessOptions): Promise<ViewProcess> {
  const { kind, base, home, profileDir } = options
  const child = fork(fileURLToPath(new URL('./view-server.js', import.meta.url)), [kind, base, home], {
    // Ctrl-C is for the benchmark, which then ends its children in order.
    detached: true,
    execArgv: profileDir === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDir],
  })
  await answerOf(child)
  return {
    pid: child.pid ?? 0,
    async call(call) {
      const answer = answerOf(child)
      child.send(call)
      return await answer
    },
    async [Symbol.asyncDispose]() {
      // What it takes for its end, in which it unmounts.
      if (child.connected) child.disconnect()
      await endChild(child)
    },
  }
}

function answerOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onMessage = (answer: ViewAnswer) => {
      child.off('exit', onExit)
      if ('error' in answer) reject(new Error(answer.error))
      else resolve(answer.value)
    }
    const onExit = (code: number | null, signal: NodeJS.Signals | null) => {
      child.off('message', onMessage)
      reject(new Error(`the process that serves the views ended with ${signal ?? `code ${code}`}`))
    }
    child.once('message', onMessage)
    child.once('exit', onExit)
  })
}
