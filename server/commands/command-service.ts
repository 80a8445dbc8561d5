import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type CommandOutputSchema,
  type CommandService,
  type ReadCommandOutputRequest,
  SignalCommandRequest_Target as Target,
} from '../../proto/index.ts'
import type { SignalTarget } from '../../runtimes/agent/codec.ts'
import type { Handlers } from '../api/handlers.ts'
import { invalid } from '../errors/croft-error.ts'
import type { BackgroundCommands } from './background-commands.ts'
import { commandMessage } from './command-message.ts'

const MAX_SIGNAL = 64

export function commandService(commands: BackgroundCommands): Handlers<typeof CommandService> {
  return {
    startCommand: async ({ request }, { signal }) => commandMessage(await commands.start(request, signal)),

    getCommand: async ({ sandboxId, commandId }) => commandMessage(commands.get(sandboxId, commandId)),

    listCommands: async ({ sandboxId }) => ({ commands: commands.list(sandboxId).map(commandMessage) }),

    readCommandOutput: (request, { signal }) => readOutput(request, commands, signal),

    waitCommand: async ({ sandboxId, commandId }, { signal }) => {
      const command = commands.get(sandboxId, commandId)
      if (command.end === undefined) await command.over.next(signal)
      return commandMessage(command)
    },

    signalCommand: async ({ sandboxId, commandId, signal, target }) => {
      if (signal > MAX_SIGNAL) throw invalid('signal', `must be at most ${MAX_SIGNAL}`)
      const to = TARGETS[target]
      if (to === undefined) throw invalid('target', 'is none that is known')
      commands.get(sandboxId, commandId).signal(signal === 0 ? undefined : signal, to)
      return {}
    },
  }
}

const TARGETS: Readonly<Partial<Record<Target, SignalTarget>>> = {
  [Target.UNSPECIFIED]: 'tree',
  [Target.TREE]: 'tree',
  [Target.GROUP]: 'group',
  [Target.PROCESS]: 'process',
}

/** At the pace at which it is taken: who reads slowly misses what is dropped meanwhile, and is told. */
async function* readOutput(
  { sandboxId, commandId, cursor, follow, killOnCancel }: ReadCommandOutputRequest,
  commands: BackgroundCommands,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof CommandOutputSchema>> {
  const command = commands.get(sandboxId, commandId)
  const { output } = command
  if (cursor > BigInt(output.end)) throw invalid('cursor', 'is after the newest output')
  if (killOnCancel && !follow) throw invalid('kill_on_cancel', 'is only for calls that follow')
  let at = Number(cursor)
  try {
    for (;;) {
      const piece = output.read(at)
      if (piece !== undefined) {
        const { type, data, start, end } = piece
        yield { type, data, cursor: BigInt(end), lostBytes: BigInt(start - at) }
        at = end
      } else if (command.end !== undefined) {
        yield { cursor: BigInt(at), ended: commandMessage(command) }
        return
      } else if (follow) {
        await command.changed.next(signal)
      } else {
        return
      }
    }
  } finally {
    if (killOnCancel && signal.aborted && command.end === undefined) command.signal(undefined, 'tree')
  }
}
