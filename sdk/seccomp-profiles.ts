import { InvalidArgumentError } from './errors.ts'

/** From the loosest to the strictest. */
export const SECCOMP_PROFILES = ['off', 'default', 'strict'] as const
export type SeccompProfile = (typeof SECCOMP_PROFILES)[number]

export function seccompToWire(profile: SeccompProfile | undefined): string {
  if (profile === undefined || SECCOMP_PROFILES.includes(profile)) return profile ?? ''
  throw new InvalidArgumentError(`There is no seccomp profile ${JSON.stringify(profile)}`, 'seccomp', {
    remedy: `Choose one of ${SECCOMP_PROFILES.join(', ')}`,
  })
}

/** A server of before there were filters says nothing. */
export function seccompFromWire(name: string): SeccompProfile {
  return SECCOMP_PROFILES.find((known) => known === name) ?? 'off'
}
