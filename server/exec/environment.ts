import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'

/** What every command starts from; an image's own variables stand over it. Nothing of the server's own is in it. */
export const BASE_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/home/croft',
  USER: 'croft',
  LOGNAME: 'croft',
  SHELL: '/bin/sh',
  LANG: 'C.UTF-8',
  TMPDIR: '/tmp',
}

/** The request's variables, which stand over all others. Throws INVALID_ARGUMENT naming `field`. */
export function environment(
  given: Readonly<Record<string, string>>,
  { field, limits, terminal = false }: { field: string; limits: Limits; terminal?: boolean },
): Record<string, string> {
  let size = 0
  for (const name in given) {
    const value = given[name] ?? ''
    if (name === '' || name.includes('=')) throw invalid(field, 'contains a name that is empty or has a `=`')
    if (name.includes('\0') || value.includes('\0')) throw invalid(field, 'contains a NUL byte')
    size += Buffer.byteLength(name) + Buffer.byteLength(value) + 2
  }
  if (size > limits.maxEnvironmentBytes) throw invalid(field, `is larger than ${limits.maxEnvironmentBytes} bytes`)
  return { ...(terminal ? { TERM: 'xterm-256color' } : {}), ...given }
}
