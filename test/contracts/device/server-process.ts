import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Pump, startPump } from '../../fixtures/fuse-pump/pump.ts'
import type { Command, ServerData } from './device-server.ts'

type WithoutId<T> = T extends { id: number } ? Omit<T, 'id'> : never

/** A mount that another process serves, with the side door into its filesystem. */
export interface Server extends AsyncDisposable {
  readonly target: string
  /** Lines that the device logged. */
  readonly logged: unknown[][]
  ask(command: WithoutId<Command> | { do: 'terminate' }): Promise<unknown>
  /** SIGKILL, without any clean-up. */
  kill(): Promise<void>
  /** Of the stream device. */
  readonly pump: Pump | undefined
}

/** Starts the process; mounts unless `mount` is false. Everything is gone when it is disposed of. */
export async function startServer(
  options: Omit<ServerData, 'target'> & { target?: string; mount?: boolean },
): Promise<Server> {
  const base = mkdtempSync(join(tmpdir(), 'croft-device-'))
  const target = options.target ?? join(base, 'mnt')
  if (options.target === undefined) mkdirSync(target)
  // The calls of the tests block their thread: what the other process writes must not need it.
  const child: ChildProcess = fork(compiled('./device-host'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>()
  const logged: unknown[][] = []
  let lastId = 0
  let terminated = false
  child.on('message', (message: { id?: number; log?: unknown[]; error?: object; result?: unknown }) => {
    if (message.log !== undefined) logged.push(message.log)
    if (message.id === undefined) return
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error !== undefined) call?.reject(message.error)
    else call?.resolve(message.result)
  })
  child.on('exit', () => {
    for (const call of waiting.values()) call.reject(new Error('the serving process has ended'))
  })
  const socket = options.device === 'stream' ? join(base, 'fuse.sock') : undefined
  const pump = socket === undefined ? undefined : await startPump(socket, target)
  child.send({ ...options, target, ...(socket === undefined ? {} : { socket }) } satisfies ServerData)

  const server: Server = {
    target,
    logged,
    pump,
    ask(command) {
      const id = ++lastId
      if (command.do === 'terminate') terminated = true
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject })
        child.send({ ...command, id })
      })
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
    async [Symbol.asyncDispose]() {
      if (child.connected && !terminated) await server.ask({ do: 'unmount' })
      await server.kill()
      await pump?.[Symbol.asyncDispose]()
      // Never recursive where a mount may still be: rmdir fails then, and so does the test.
      if (options.target === undefined) rmdirSync(target)
      rmSync(base, { recursive: true })
    },
  }
  if (options.mount !== false) {
    try {
      await server.ask({ do: 'mount' })
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }
  return server
}

/** Processes run compiled JavaScript, also where the tests run TypeScript. */
function compiled(module: string): string {
  const here = fileURLToPath(import.meta.url)
  const file = fileURLToPath(new URL(`${module}.js`, import.meta.url))
  return here.endsWith('.ts') ? file.replace('/test/contracts/', '/dist/test/contracts/') : file
}
