import { describe, expect, it } from 'vitest'
import type { Probe } from '../../runtimes/contract/runtime.ts'
import { parseSeccomp } from './seccomp.ts'

const CAPABILITIES = {
  memoryLimit: true,
  cpuLimit: true,
  pidsLimit: true,
  terminal: true,
  image: false,
  networkOff: true,
  networkAllowList: false,
  networkFull: false,
  stats: true,
}

function parse(text: string, least: 'off' | 'default' | 'strict' = 'default', systemCallFilter = true) {
  const probe = { available: true, capabilities: { ...CAPABILITIES, systemCallFilter } } as Probe
  return parseSeccomp(text, { least, runtime: 'bwrap', probe })
}

describe('the filter of system calls that a request asks for', () => {
  it('is the server’s where none is named, and may be stricter', () => {
    expect(parse('')).toBe('default')
    expect(parse('', 'strict')).toBe('strict')
    expect(parse('strict')).toBe('strict')
    expect(parse('off', 'off')).toBe('off')
  })

  it('is refused by name where it is looser than the server’s', () => {
    for (const [text, least] of [
      ['off', 'default'],
      ['default', 'strict'],
    ] as const) {
      expect(() => parse(text, least)).toThrow(expect.objectContaining({ code: 'PERMISSION_DENIED', field: 'seccomp' }))
    }
  })

  it('is refused by name where there is none of that name', () => {
    for (const text of ['Default', 'none', '__proto__', '../x'])
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'seccomp' }))
  })

  it('is refused where the host cannot filter, and never left out', () => {
    const refusal = expect.objectContaining({ code: 'UNIMPLEMENTED', field: 'seccomp' })
    expect(() => parse('', 'default', false)).toThrow(refusal)
    expect(() => parse('strict', 'off', false)).toThrow(refusal)
    expect(parse('', 'off', false)).toBe('off')
  })
})
