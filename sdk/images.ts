import {
  type ImageProgress as ImageProgressMessage,
  ImageProgress_Phase as Phase,
  ImagePull as PullMessage,
  SandboxService,
  type Sandbox as WireSandbox,
} from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { InternalError, InvalidArgumentError } from './errors.ts'

export const IMAGE_PULLS = ['never', 'missing', 'always'] as const

/** Whether an image is taken from its registry. */
export type ImagePull = (typeof IMAGE_PULLS)[number]

/** What has come of an image. */
export interface ImageProgress {
  /** From a registry, or from a file of the server's host. */
  readonly phase: 'pulling' | 'loading'
  readonly bytes: number
  /** As far as it is known: it grows as parts of the image are found. */
  readonly totalBytes: number
}

const PULLS = { never: PullMessage.NEVER, missing: PullMessage.MISSING, always: PullMessage.ALWAYS } as const

export function pullToWire(pull: ImagePull | undefined): PullMessage {
  if (pull === undefined) return PullMessage.UNSPECIFIED
  if (Object.hasOwn(PULLS, pull)) return PULLS[pull]
  throw new InvalidArgumentError(`pull must be ${IMAGE_PULLS.join(', ')}`, 'pull')
}

/** Starts a sandbox, and tells how far its image is. Aborted, the fetching stops. */
export async function watchStart(
  connection: Connection,
  sandboxId: string,
  {
    onImage,
    signal,
  }: {
    readonly onImage?: ((progress: ImageProgress) => void) | undefined
    readonly signal?: AbortSignal | undefined
  },
): Promise<WireSandbox> {
  for await (const { progress } of connection.serverStream(
    SandboxService.method.watchStart,
    { sandboxId },
    { signal },
  )) {
    if (progress.case === 'sandbox') return progress.value
    if (progress.case === 'image') onImage?.(progressFromWire(progress.value))
  }
  throw new InternalError('The server did not say what became of the start')
}

function progressFromWire({ phase, bytes, totalBytes }: ImageProgressMessage): ImageProgress {
  return {
    phase: phase === Phase.LOADING ? 'loading' : 'pulling',
    bytes: Number(bytes),
    totalBytes: Number(totalBytes),
  }
}
