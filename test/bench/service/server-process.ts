import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Server } from '../../../sdk/index.ts'
import { endChild } from '../child.ts'

/** A server of the benchmark's own, in a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number
  /** A connection to share. */
  readonly server: Server
  /** From the start of the process until it has answered its first call. Milliseconds. */
  readonly firstAnswerMs: number
}

/** On what is in `home`; resolves when it has answered. Its log goes to this process's stderr from `warn` up. */
export async function startServerProcess(home: string, env: NodeJS.ProcessEnv = {}): Promise<ServerProcess> {
  mkdirSync(home, { recursive: true })
  const socket = join(home, 'socket')
  const args = [
    fileURLToPath(new URL('../../../server/main.js', import.meta.url)),
    ...['--socket', socket, '--data-dir', join(home, 'data'), '--mount-dir', join(home, 'mnt')],
    ...['--log-level', 'warn', '--log-format', 'text', '--ready-fd', '3'],
    // If the benchmark is killed, nobody tells the server to end.
    ...['--idle-exit', '60'],
  ]
  const beganMs = performance.now()
  // A group of its own: Ctrl-C is for the benchmark, which then ends it in order.
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: { ...process.env, ...env },
  })
  try {
    await firstLine(child)
    const server = await Server.connect({ socket })
    await server.info()
    const firstAnswerMs = performance.now() - beganMs
    return {
      pid: child.pid ?? 0,
      server,
      firstAnswerMs,
      async [Symbol.asyncDispose]() {
        server.close()
        await endChild(child, 'SIGTERM')
      },
    }
  } catch (error) {
    await endChild(child, 'SIGTERM')
    throw error
  }
}

async function firstLine(child: ChildProcess): Promise<void> {
  for await (const _ of createInterface({ input: child.stdio[3] as Readable })) return
  throw new Error('the server ended before it was ready')
}

/** Bytes of memory that a process and all of its descendants have, shared pages by share. */
export function memoryOfTree(pid: number): { readonly bytes: number; readonly processes: number } {
  const pids = descendants(pid)
  const bytes = pids.reduce((sum, each) => sum + proportionalBytes(each), 0)
  return { bytes, processes: pids.length }
}

function descendants(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  )
  return [pid, ...children.flatMap(descendants)]
}

function proportionalBytes(pid: number): number {
  const [, kib = '0'] = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
  return Number(kib) * 1024
}
