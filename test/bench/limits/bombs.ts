import { Sandbox } from '../../../sdk/index.ts'
import type { ServerProcess } from '../service/server-process.ts'

const BOMBS = 10
const RESOURCES = { pids: 32, memoryBytes: 64 * 2 ** 20 }

/** Commands that take all that they are let have, for as long as they are let. */
export const BOMB_OF = {
  spinners: 'while :; do :; done & while :; do :; done',
  // A shell ends when it cannot fork; this one goes on trying, in each of its processes.
  'fork bombs': ['python3', '-c', 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'],
  'memory bombs': 'while :; do python3 -c "x = [bytearray(1 << 20) for _ in range(1 << 20)]"; done',
} as const

export type BombKind = keyof typeof BOMB_OF

/** Ten sandboxes in each of which one goes off; ended when it is disposed. */
export async function startBombs(
  running: ServerProcess,
  codebase: string,
  kind: BombKind,
): Promise<AsyncDisposable & { readonly count: number }> {
  const sandboxes: Sandbox[] = []
  const end = async () => {
    await Promise.all(sandboxes.map((sandbox) => sandbox.kill()))
  }
  try {
    for (let at = 0; at < BOMBS; at++) {
      const { server } = running
      const sandbox = await Sandbox.create({ codebase, server, preset: 'development', resources: RESOURCES })
      sandboxes.push(sandbox)
      await sandbox.commands.start(BOMB_OF[kind])
    }
  } catch (error) {
    await end()
    throw error
  }
  return { count: BOMBS, [Symbol.asyncDispose]: end }
}
