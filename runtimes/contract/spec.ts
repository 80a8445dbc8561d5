import { posix } from 'node:path'
import { faultInLimits } from './limits.ts'
import type { LaunchSpec } from './runtime.ts'

/** Of the user inside, whatever the runtime. */
export const HOME = '/home/croft'

/** What is wrong with the parts of a spec that a plan is made of, with the field's name; undefined if nothing. */
export function faultInSpec(spec: LaunchSpec): string | undefined {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(spec.sandboxId))
    return `sandboxId is not a plain name: ${JSON.stringify(spec.sandboxId)}`
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(spec.instance))
    return `instance is not a plain name: ${JSON.stringify(spec.instance)}`
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,62})$/.test(spec.hostname))
    return `hostname is not one: ${JSON.stringify(spec.hostname)}`
  for (const field of ['viewPath', 'workspace'] as const) {
    const path = spec[field]
    const normal = posix.isAbsolute(path) && posix.resolve(path) === path
    if (!normal || path.includes('\0')) {
      return `${field} is not an absolute, normal path: ${JSON.stringify(path)}`
    }
  }
  const top = `/${spec.workspace.split('/')[1] ?? ''}`
  if (TAKEN.includes(top) || TAKEN_ITSELF.includes(spec.workspace))
    return `workspace is taken by the system: ${spec.workspace}`
  for (const field of ['hostUid', 'hostGid'] as const) {
    if (!Number.isInteger(spec[field]) || spec[field] < 0) return `${field} is not an id: ${spec[field]}`
  }
  const fault = faultInLimits(spec.limits)
  return fault === undefined ? undefined : `limits.${fault.limit} ${fault.problem}: ${spec.limits[fault.limit]}`
}

const TAKEN = ['/', '/bin', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/proc', '/sbin', '/sys', '/usr']
const TAKEN_ITSELF = ['/home', HOME, '/run', '/tmp', '/var', '/var/tmp', '/var/run']
