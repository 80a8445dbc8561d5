import { Agent, request } from 'node:http'
import type { Readable } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import Docker, { type ContainerCreateOptions } from 'dockerode'
import { type ImageProgress, RuntimeError } from '../contract/runtime.ts'
import { followFetch } from './fetch-progress.ts'
import type { InspectedImage } from './image.ts'
import type { OciLimits } from './limits.ts'
import { INSTANCE_LABEL, SANDBOX_LABEL } from './plan.ts'
import type { RegistryCredentials } from './registry-login.ts'

export type EngineName = 'docker' | 'podman'

export interface EngineInfo {
  readonly version: string
  readonly memoryLimit: boolean
  readonly cpuLimit: boolean
  readonly pidsLimit: boolean
  /** What it can run containers with, by the names that they are registered under. */
  readonly runtimes: readonly string[]
}

export interface FetchOptions {
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Container {
  readonly id: string
  readonly sandboxId: string
}

/**
 * A container engine behind its unix socket. No call waits for longer than the limits say, but for `wait`. Whatever
 * fails is a `RuntimeError`: `unavailable` where the engine cannot be reached or does not answer.
 */
export class Engine {
  readonly #name: EngineName
  readonly #socketPath: string
  readonly #limits: OciLimits
  readonly #docker: Docker

  constructor(name: EngineName, socketPath: string, limits: OciLimits) {
    this.#name = name
    this.#socketPath = socketPath
    this.#limits = limits
    // Whatever DOCKER_HOST and the like say. A connection that is kept would be one to an engine that is gone.
    const options = {
      socketPath,
      host: undefined,
      protocol: 'http',
      headers: {},
      agent: new Agent({ keepAlive: false }),
    }
    this.#docker = new Docker(options as unknown as Docker.DockerOptions)
  }

  async info(): Promise<EngineInfo> {
    const told: Record<string, unknown> = await this.#call('say what it can', this.#limits.answerMs, (abortSignal) =>
      this.#docker.info(...withSignal<[]>([{ abortSignal }])),
    )
    // A rootless engine on groups of version 1 takes limits and forgets them.
    const kept = told['Rootless'] !== true || told['CgroupVersion'] === '2'
    const has = (...names: string[]) => kept && names.every((name) => told[name] === true)
    return {
      version: String(told['ServerVersion']),
      memoryLimit: has('MemoryLimit'),
      cpuLimit: has('CPUShares') && (has('CpuCfsQuota') || has('CPUCfsQuota')),
      pidsLimit: has('PidsLimit'),
      runtimes: Object.keys((told['Runtimes'] as object | null | undefined) ?? {}),
    }
  }

  /** `undefined`: there is none of that name. */
  async image(name: string): Promise<InspectedImage | undefined> {
    return await this.#unlessMissing(
      this.#call('look at an image', this.#limits.answerMs, () => this.#docker.getImage(name).inspect()),
    )
  }

  /** Of an archive of its files, without anything else. Resolves with its id. */
  async importImage(archive: Buffer): Promise<string> {
    const said = await this.#call('import an image', this.#limits.createMs, (abortSignal) =>
      this.#docker.importImage(archive as unknown as string, { abortSignal }).then(text),
    )
    const id = /sha256:[0-9a-f]{64}/.exec(said)?.[0]
    if (id === undefined) throw this.#failed(`cannot import an image: ${said.slice(0, 200)}`)
    return id
  }

  /** From its registry; `tag` may be a digest. */
  async pull(
    { repository, tag }: { readonly repository: string; readonly tag: string },
    credentials: RegistryCredentials | undefined,
    options: FetchOptions,
  ): Promise<void> {
    const what = `pull ${repository}`
    await this.#fetch(what, 'pulling', options, (abortSignal) =>
      this.#docker.createImage(credentials ?? {}, { fromImage: repository, tag, abortSignal }),
    )
  }

  /** Of an archive as `docker save` makes it. */
  async load(archive: Readable, options: FetchOptions): Promise<void> {
    await this.#fetch('load an image', 'loading', options, (abortSignal) =>
      this.#docker.loadImage(archive as unknown as NodeJS.ReadableStream, { abortSignal } as object),
    )
  }

  async #fetch(
    what: string,
    phase: ImageProgress['phase'],
    { onProgress, signal }: FetchOptions,
    begin: (signal: AbortSignal) => Promise<NodeJS.ReadableStream>,
  ): Promise<void> {
    signal?.throwIfAborted()
    const work = async (overdue: AbortSignal) => {
      const stop = signal === undefined ? overdue : AbortSignal.any([signal, overdue])
      const lines = (await begin(stop)) as Readable
      const onStop = () => lines.destroy(stop.reason instanceof Error ? stop.reason : new Error('aborted'))
      stop.addEventListener('abort', onStop, { once: true })
      try {
        if (stop.aborted) onStop()
        await followFetch(lines, phase, onProgress).catch((error: NodeJS.ErrnoException) => {
          throw error.code === undefined ? this.#failed(`${this.#name} cannot ${what}: ${error.message}`, error) : error
        })
      } finally {
        stop.removeEventListener('abort', onStop)
      }
    }
    const { imageMs } = this.#limits
    const remedy = 'raise the limit `imageMs`, or fetch it beforehand'
    await this.#call(what, imageMs, work, remedy).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw error
    })
  }

  async removeImage(id: string): Promise<void> {
    await this.#unlessMissing(
      this.#call('remove an image', this.#limits.removeMs, (abortSignal) =>
        this.#docker.getImage(id).remove({ force: true, abortSignal }),
      ),
    )
  }

  async create(name: string, options: ContainerCreateOptions): Promise<void> {
    await this.#call('make a container', this.#limits.createMs, (abortSignal) =>
      this.#docker.createContainer({ ...options, name, abortSignal }),
    )
  }

  async start(name: string): Promise<void> {
    await this.#call('start a container', this.#limits.startMs, (abortSignal) =>
      this.#docker.getContainer(name).start({ abortSignal }),
    )
  }

  /** Process 1 of the container as the host numbers it; 0 where it has ended. */
  async pid(name: string): Promise<number> {
    const { State } = await this.#call('look at a container', this.#limits.answerMs, (abortSignal) =>
      this.#docker.getContainer(name).inspect({ abortSignal }),
    )
    return State.Pid
  }

  /** Resolves with its exit code, however long that takes. */
  async wait(name: string, signal: AbortSignal): Promise<number> {
    try {
      return await waitForExit(this.#socketPath, name, signal)
    } catch (error) {
      throw this.#translated(error, 'wait for a container')
    }
  }

  /** Of one that is gone already: nothing. */
  async remove(name: string): Promise<void> {
    try {
      await this.#unlessMissing(
        this.#call('remove a container', this.#limits.removeMs, (abortSignal) =>
          this.#docker.getContainer(name).remove({ force: true, v: true, abortSignal }),
        ),
      )
    } catch (error) {
      // It is about it already, as it was told to before it was given up on. Only Docker means this by it, by force.
      if (this.#name !== 'docker' || statusOf(error) !== 409) throw error
    }
  }

  async containersOf(instance: string): Promise<Container[]> {
    const listed = await this.#call('list containers', this.#limits.answerMs, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: { label: [`${INSTANCE_LABEL}=${instance}`] }, abortSignal }),
    )
    return listed.flatMap(({ Id: id, Labels }) => {
      const sandboxId = Labels[SANDBOX_LABEL]
      return Labels[INSTANCE_LABEL] !== instance || sandboxId === undefined ? [] : [{ id, sandboxId }]
    })
  }

  async #call<T>(
    what: string,
    withinMs: number,
    work: (signal: AbortSignal) => Promise<T>,
    remedy = "look at the engine's log, and restart it",
  ): Promise<T> {
    const overdue = new AbortController()
    let timer: NodeJS.Timeout | undefined
    // Beside the signal, which the package does not heed in every call.
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        overdue.abort()
        reject(new Error('overdue'))
      }, withinMs)
    })
    try {
      return await Promise.race([work(overdue.signal), late])
    } catch (error) {
      if (!overdue.signal.aborted) throw this.#translated(error, what)
      throw new RuntimeError(
        'unavailable',
        this.#name,
        `${this.#name} at ${this.#socketPath} did not ${what} within ${withinMs} ms: ${remedy}`,
        { cause: error },
      )
    } finally {
      clearTimeout(timer)
    }
  }

  #translated(error: unknown, what: string): RuntimeError {
    if (error instanceof RuntimeError) return error
    const { code, statusCode, message } = error as { code?: string; statusCode?: number; message: string }
    if (statusCode !== undefined) return this.#failed(`${this.#name} cannot ${what}: ${message.trim()}`, error)
    const why = WHY[code ?? ''] ?? message
    return new RuntimeError(
      'unavailable',
      this.#name,
      `${this.#name} cannot be reached at ${this.#socketPath} (${why}): ${START[this.#name]}, or name its socket in the setting \`${this.#name}.socket\``,
      { cause: error },
    )
  }

  #failed(message: string, cause?: unknown): RuntimeError {
    return new RuntimeError('failed', this.#name, message, { cause })
  }

  async #unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
    try {
      return await call
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw error
    }
  }
}

/** Of the engine's answer; undefined where there was none. */
function statusOf(error: unknown): number | undefined {
  return error instanceof RuntimeError ? (error.cause as { statusCode?: number } | undefined)?.statusCode : undefined
}

/**
 * By hand: an engine answers at once and sends the rest when the container ends, and the package never settles where
 * the engine dies in between.
 */
function waitForExit(socketPath: string, name: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, signal, agent: false, method: 'POST', path: `/containers/${name}/wait` })
    asked.once('error', reject)
    asked.once('response', (response) => {
      json(response).then((told) => {
        const { StatusCode: code, message } = told as { StatusCode?: number; message?: string }
        if (code === undefined)
          reject(Object.assign(new Error(message ?? 'no answer'), { statusCode: response.statusCode }))
        else resolve(code)
      }, reject)
    })
    asked.end()
  })
}

/** The package takes it for every call; its types know of it for some. */
function withSignal<T>(options: [{ abortSignal: AbortSignal }]): T {
  return options as T
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'this user may not',
  ECONNRESET: 'it has gone',
}

const START: Readonly<Record<EngineName, string>> = {
  docker: 'apt-get install docker.io, and systemctl start docker',
  podman: 'apt-get install podman, and systemctl start podman.socket',
}
