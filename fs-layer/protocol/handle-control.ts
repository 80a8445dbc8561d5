import { INIT_OUT_BYTES, Opcode, PROTOCOL_MAJOR } from './constants.ts'
import { bodyStart, u32, u64 } from './decode.ts'
import { EINVAL } from './errno.ts'
import { ROOT_NODE } from './filesystem.ts'
import { negotiate } from './negotiate.ts'
import { type HandlerTable, NO_REPLY, type Serving } from './serving.ts'

/** The life of the connection, and of the kernel's references. */
export const CONTROL: HandlerTable = [
  [Opcode.INIT, 16, init],
  [Opcode.DESTROY, 0, () => 0],
  [Opcode.FORGET, 8, forget],
  [Opcode.BATCH_FORGET, 8, batchForget],
  [Opcode.INTERRUPT, 8, interrupt],
  [Opcode.SYNCFS, 0, syncfs],
]

function init(serving: Serving): number {
  const { incoming, outgoing, options } = serving
  const long = incoming.end - bodyStart(0) >= 20
  if (u32(incoming, 0) === PROTOCOL_MAJOR && !long) throw EINVAL
  const negotiated = negotiate(incoming, outgoing, options)
  if (negotiated === null) {
    serving.settleReady(new Error(`the kernel speaks FUSE ${u32(incoming, 0)}.${u32(incoming, 4)}, too old for us`))
  } else {
    serving.negotiated = negotiated
    serving.settleReady(negotiated)
  }
  return INIT_OUT_BYTES
}

function forget({ filesystem, incoming }: Serving): number {
  filesystem.forget(incoming.node, u64(incoming, 0))
  return NO_REPLY
}

function batchForget({ filesystem, incoming }: Serving): number {
  const count = u32(incoming, 0)
  if (incoming.end - bodyStart(8) < count * 16) throw EINVAL
  for (let i = 0; i < count; i++) filesystem.forget(u64(incoming, 8 + i * 16), u64(incoming, 16 + i * 16))
  return NO_REPLY
}

/**
 * Needs no answer and finds nothing to stop: whatever it interrupts has been answered already, or is an fsync,
 * which other filesystems do not break off either; the caller dies when that is done.
 */
function interrupt(): number {
  return NO_REPLY
}

function syncfs({ filesystem, incoming, replyAfter }: Serving): number {
  replyAfter(filesystem.fsync(incoming.caller, ROOT_NODE, false))
  return NO_REPLY
}
