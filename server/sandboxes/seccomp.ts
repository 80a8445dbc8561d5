import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { SECCOMP_NAMES, type SeccompName } from '../../runtimes/seccomp/filter.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'

export interface SeccompContext {
  /** The setting: for a request that names none, and the loosest that one may name. */
  readonly least: SeccompName
  readonly runtime: RuntimeName
  readonly probe: Probe
}

/** Which system calls the sandbox's programs will have. Empty is a field that was not set. */
export function parseSeccomp(text: string, { least, runtime, probe }: SeccompContext): SeccompName {
  const name = text === '' ? least : SECCOMP_NAMES.find((known) => known === text)
  if (name === undefined) throw invalid('seccomp', `must be one of ${SECCOMP_NAMES.join(', ')}`)
  if (SECCOMP_NAMES.indexOf(name) < SECCOMP_NAMES.indexOf(least)) {
    throw new CroftError('PERMISSION_DENIED', `seccomp: this server allows nothing looser than ${least}, not ${name}`, {
      field: 'seccomp',
      reason: 'seccomp_too_loose',
    })
  }
  // Of a runtime that does not run here nothing is known; starting the sandbox says why.
  if (name !== 'off' && probe.available && !probe.capabilities.systemCallFilter) {
    const remedy = 'the setting `seccomp: off` of the server does without'
    throw new CroftError(
      'UNIMPLEMENTED',
      `seccomp: runtime ${runtime} cannot filter system calls on this host; ${remedy}`,
      { field: 'seccomp', reason: 'unsupported' },
    )
  }
  return name
}
