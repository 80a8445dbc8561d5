import { existsSync } from 'node:fs'
import { type Architecture, compileProfile, encodeProgram } from './compile.ts'
import { PROFILES } from './profiles.ts'

/** From the loosest to the strictest. `off`: no filter. */
export const SECCOMP_NAMES = ['off', 'default', 'strict'] as const
export type SeccompName = (typeof SECCOMP_NAMES)[number]

/** Is there where the kernel can filter. */
const ACTIONS = '/proc/sys/kernel/seccomp/actions_avail'

/** Whether programs can be filtered on this machine. */
export function canFilterSystemCalls(): boolean {
  return architecture() !== undefined && existsSync(ACTIONS)
}

const made = new Map<SeccompName, Buffer>()

/** What the agent is sent; `undefined` is no filter. Throws on a machine whose numbers are not known. */
export function systemCallFilter(name: SeccompName): Buffer | undefined {
  if (name === 'off') return undefined
  let filter = made.get(name)
  if (filter === undefined) {
    const here = architecture()
    if (here === undefined) throw new Error(`there is no filter of system calls for ${process.arch}`)
    filter = encodeProgram(compileProfile(PROFILES[name], here))
    made.set(name, filter)
  }
  return filter
}

function architecture(): Architecture | undefined {
  return process.arch === 'x64' || process.arch === 'arm64' ? process.arch : undefined
}
