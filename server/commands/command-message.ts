import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { CommandSchema } from '../../proto/index.ts'
import type { BackgroundCommand } from './background-command.ts'

export function commandMessage({ options, output, end }: BackgroundCommand): MessageInitShape<typeof CommandSchema> {
  return {
    id: options.id,
    sandboxId: options.sandboxId,
    command: options.text,
    startedAt: timestampFromMs(options.startedAtMs),
    outputStart: BigInt(output.start),
    outputEnd: BigInt(output.end),
    ...(end === undefined
      ? {}
      : {
          endedAt: timestampFromMs(end.endedAtMs),
          exit: end.exit,
          timedOut: end.timedOut,
          sandboxEnded: end.sandboxEnded,
          outputExceeded: end.outputExceeded,
        }),
  }
}
