import type { MessageInitShape } from '@bufbuild/protobuf'
import { ImageProgress_Phase as Phase, type StartProgressSchema, type StartSandboxRequest } from '../../proto/index.ts'
import type { ImageProgress } from '../../runtimes/contract/runtime.ts'
import { sandboxMessage } from './sandbox-message.ts'
import type { Sandboxes } from './sandboxes.ts'

/** Starts a sandbox and tells how far its image is: the newest of it, at the pace at which it is taken. */
export async function* watchStart(
  { sandboxId }: StartSandboxRequest,
  { sandboxes, signal }: { readonly sandboxes: Sandboxes; readonly signal: AbortSignal },
): AsyncGenerator<MessageInitShape<typeof StartProgressSchema>> {
  let newest: ImageProgress | undefined
  let over = false
  let wake: () => void = () => undefined
  const onImage = (progress: ImageProgress) => {
    newest = progress
    wake()
  }
  const starting = sandboxes.start(sandboxId, { onImage, signal }).finally(() => {
    over = true
    wake()
  })
  // Its failure is thrown below; until then it must not count as nobody's.
  starting.catch(() => undefined)
  while (!over) {
    const told = newest
    newest = undefined
    if (told !== undefined) yield { progress: { case: 'image', value: progressMessage(told) } }
    else {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  yield { progress: { case: 'sandbox', value: sandboxMessage(await starting) } }
}

function progressMessage({ phase, bytes, totalBytes }: ImageProgress) {
  return { phase: PHASES[phase], bytes: BigInt(bytes), totalBytes: BigInt(totalBytes) }
}

const PHASES = { pulling: Phase.PULLING, loading: Phase.LOADING } as const
