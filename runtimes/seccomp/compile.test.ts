import { constants } from 'node:os'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AUDIT_ARCH, runFilter } from '../../test/fixtures/run-filter.ts'
import { type Architecture, compileProfile, encodeProgram, INSTRUCTION_BYTES, MAX_INSTRUCTIONS } from './compile.ts'
import { NUMBERS } from './numbers.ts'
import { PROFILES, type Profile, type Rule, type Test, type Verdict } from './profiles.ts'

const { EPERM, ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT } = constants.errno
const ARCHITECTURES = ['x64', 'arm64'] as const

function asker(profile: Profile, architecture: Architecture) {
  const program = compileProfile(profile, architecture)
  return (name: string, ...values: (number | bigint)[]) =>
    runFilter(program, {
      number: NUMBERS[name]?.[architecture === 'x64' ? 0 : 1] ?? -1,
      architecture: AUDIT_ARCH[architecture],
      arguments: values.map(BigInt),
    })
}

describe.each(ARCHITECTURES)('the filter of the default profile on %s', (architecture) => {
  const ask = asker(PROFILES.default, architecture)

  it('lets ordinary calls through and refuses those for the kernel itself', () => {
    for (const name of ['read', 'execve', 'openat', 'futex', 'ptrace', 'seccomp']) expect(ask(name)).toBe('allow')
    for (const name of ['mount', 'bpf', 'keyctl', 'userfaultfd', 'io_uring_setup', 'open_by_handle_at', 'setns']) {
      expect(ask(name)).toBe(EPERM)
    }
    expect(ask('clone3')).toBe(ENOSYS)
  })

  it('asks before a sync, whatever the arguments', () => {
    for (const name of ['sync', 'syncfs']) expect(ask(name, 2n ** 64n - 1n)).toBe('ask')
    expect(ask('fsync')).toBe('allow')
  })

  it('answers ENOSYS to what it does not know, and to all that comes by another door', () => {
    const program = compileProfile(PROFILES.default, architecture)
    const here = AUDIT_ARCH[architecture]
    const x32 = 0x4000_0000
    for (const number of [470, 4095, x32, x32 | 39, 0xffff_ffff])
      expect(runFilter(program, { number, architecture: here })).toBe(ENOSYS)
    for (const other of Object.values(AUDIT_ARCH).filter((value) => value !== here)) {
      for (let number = 0; number < 500; number++)
        expect(runFilter(program, { number, architecture: other })).toBe(ENOSYS)
    }
  })

  it('makes processes but no namespaces, whatever stands in the upper half of the flags', () => {
    const SIGCHLD = 17
    const VM_FILES_THREAD = 0x0001_0f00
    expect(ask('clone', SIGCHLD)).toBe('allow')
    expect(ask('clone', VM_FILES_THREAD)).toBe('allow')
    for (const flag of [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]) {
      expect(ask('clone', flag | SIGCHLD)).toBe(EPERM)
      expect(ask('unshare', flag)).toBe(EPERM)
      expect(ask('unshare', (0xffn << 32n) | BigInt(flag))).toBe(EPERM)
    }
    expect(ask('unshare', 0x80)).toBe(EPERM)
    expect(ask('unshare', 0x400)).toBe('allow')
  })

  it('pushes nothing into a terminal, whatever stands in the upper half of the request', () => {
    for (const request of [0x5412, 0x541c, 0x5423]) {
      expect(ask('ioctl', 0, request)).toBe(EPERM)
      expect(ask('ioctl', 0, (1n << 32n) | BigInt(request))).toBe(EPERM)
    }
    expect(ask('ioctl', 0, 0x5401)).toBe('allow')
  })

  it('opens sockets of the internet, of the machine, and the list of interfaces', () => {
    const CLOEXEC = 0o2000000
    expect(ask('socket', 1, 5, 0)).toBe('allow')
    for (const family of [2, 10]) {
      expect(ask('socket', family, 1 | CLOEXEC, 6)).toBe('allow')
      expect(ask('socket', family, 2, 17)).toBe('allow')
      expect(ask('socket', family, 3, 1)).toBe(EPROTONOSUPPORT)
      expect(ask('socket', family, 1, 132)).toBe(EPROTONOSUPPORT)
      expect(ask('socket', family, 5, 132)).toBe(EPROTONOSUPPORT)
    }
    expect(ask('socket', 16, 3, 0)).toBe('allow')
    expect(ask('socket', 16, 3, 12)).toBe(EPROTONOSUPPORT)
    // Packets, the kernel's ciphers, the hypervisor, express data paths.
    for (const family of [17, 38, 40, 44]) expect(ask('socket', family, 1, 0)).toBe(EAFNOSUPPORT)
    expect(ask('socketpair', 1, 1, 0)).toBe('allow')
    expect(ask('socketpair', 30, 1, 0)).toBe(EAFNOSUPPORT)
  })

  it('keeps the agent’s limits and its share of the processor out of reach', () => {
    expect(ask('prlimit64', 1, 7, 4096, 0)).toBe(EPERM)
    expect(ask('prlimit64', (1n << 32n) | 1n, 7, 4096, 0)).toBe(EPERM)
    // A pointer whose lower half is zero is one.
    expect(ask('prlimit64', 1, 7, 1n << 32n, 0)).toBe(EPERM)
    expect(ask('prlimit64', 1, 7, 0, 4096)).toBe('allow')
    expect(ask('prlimit64', 0, 7, 4096, 0)).toBe('allow')
    expect(ask('prlimit64', 42, 7, 4096, 0)).toBe('allow')
    for (const name of ['sched_setaffinity', 'sched_setattr', 'sched_setparam', 'sched_setscheduler']) {
      expect(ask(name, 1)).toBe(EPERM)
      expect(ask(name, 0)).toBe('allow')
    }
    expect(ask('setpriority', 0, 1, 19)).toBe(EPERM)
    expect(ask('setpriority', 2, 0, 19)).toBe(EPERM)
    expect(ask('setpriority', 0, 0, 19)).toBe('allow')
    expect(ask('ioprio_set', 3, 0, 0)).toBe(EPERM)
    expect(ask('ioprio_set', 1, 1, 0)).toBe(EPERM)
    expect(ask('ioprio_set', 1, 0, 0)).toBe('allow')
  })

  it('leaves the limit of core dumps where it is, and says done', () => {
    expect(ask('prlimit64', 0, 4, 4096, 0)).toBe(0)
    expect(ask('prlimit64', 0, 4, 4096, 4096)).toBe(EPERM)
    expect(ask('setrlimit', 4, 4096)).toBe(0)
    expect(ask('setrlimit', 7, 4096)).toBe('allow')
  })

  it('makes files and FIFOs, and no devices', () => {
    for (const mode of [0o644, 0o100644, 0o010600, 0o140600]) expect(ask('mknodat', 0, 4096, mode)).toBe('allow')
    for (const mode of [0o020666, 0o060666]) expect(ask('mknodat', 0, 4096, mode)).toBe(EPERM)
  })

  it('lets a debugger switch off random addresses, and no program switch on old ways', () => {
    for (const persona of [0xffff_ffff, 0, 8, 0x4_0000]) expect(ask('personality', persona)).toBe('allow')
    for (const persona of [0x40_0000, 0x10_0000, 0x20_0000]) expect(ask('personality', persona)).toBe(EPERM)
  })
})

describe('the strict profile', () => {
  it.each(ARCHITECTURES)('allows nothing on %s that the default one refuses', (architecture) => {
    const strict = asker(PROFILES.strict, architecture)
    const standard = asker(PROFILES.default, architecture)
    const value = fc.oneof(fc.constantFrom(0n, 1n, 2n, 3n, 10n, 16n, 0x5412n, 0x4_0000n), fc.bigInt(0n, 2n ** 64n - 1n))
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(NUMBERS)), fc.array(value, { maxLength: 6 }), (name, values) => {
        if (strict(name, ...values) === 'allow') expect(standard(name, ...values)).toBe('allow')
      }),
      { numRuns: 3_000 },
    )
  })

  it('looks into no other process, and lists no interfaces', () => {
    const ask = asker(PROFILES.strict, 'x64')
    for (const name of ['ptrace', 'process_vm_readv', 'shmget', 'io_submit', 'vmsplice']) expect(ask(name)).toBe(EPERM)
    expect(ask('socket', 16, 3, 0)).toBe(EAFNOSUPPORT)
    expect(ask('socket', 2, 1, 0)).toBe('allow')
  })
})

describe('any profile', () => {
  const names = Object.keys(NUMBERS)
  const verdicts: readonly Verdict[] = ['allow', 'done', 'ask', 'EPERM', 'ENOSYS', 'EAFNOSUPPORT', 'EPROTONOSUPPORT']
  const small = fc.integer({ min: 0, max: 3 })
  const test: fc.Arbitrary<Test> = fc.oneof(
    fc.record({
      argument: fc.integer({ min: 0, max: 5 }),
      mask: fc.constantFrom(1, 3, 0xffff_ffff),
      is: fc.uniqueArray(small, { minLength: 1 }),
    }),
    fc.record({ argument: fc.integer({ min: 0, max: 5 }), isNull: fc.constant(true as const) }),
  )
  const rule: fc.Arbitrary<Rule> = fc.record({
    when: fc.array(test, { minLength: 1, maxLength: 4 }),
    answer: fc.constantFrom(...verdicts),
  })

  it('means the same as a program as it does as data', () => {
    const any = fc
      .tuple(
        fc.shuffledSubarray(names),
        fc.nat({ max: 200 }),
        fc.array(rule, { maxLength: 5 }),
        fc.constantFrom(...verdicts),
      )
      .map(([chosen, allowed, rules, otherwise]) => ({
        profile: {
          allow: chosen.slice(0, allowed),
          ask: chosen.slice(allowed + 20, allowed + 22),
          refuse: { EPERM: chosen.slice(allowed + 22) },
          conditional: Object.fromEntries(
            chosen.slice(allowed, allowed + 20).map((name) => [name, { rules, otherwise }]),
          ),
        } satisfies Profile,
      }))
    const values = fc.array(fc.oneof(small.map(BigInt), fc.constant(1n << 32n)), { minLength: 6, maxLength: 6 })
    fc.assert(
      fc.property(any, values, ({ profile }, args) => {
        const ask = asker(profile, 'x64')
        for (const name of names) {
          if (NUMBERS[name]?.[0] !== undefined) expect(ask(name, ...args)).toBe(meaning(profile, name, args))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('is refused where it names a call that there is not, or one twice', () => {
    const profile = (...allow: string[]): Profile => ({ allow, ask: [], refuse: {}, conditional: {} })
    expect(() => compileProfile(profile('raed'), 'x64')).toThrow('raed')
    expect(() => compileProfile(profile('read', 'read'), 'x64')).toThrow('twice')
    // One that the other architecture has.
    expect(() => compileProfile(profile('read', 'open'), 'arm64')).not.toThrow()
  })

  it.each(ARCHITECTURES)('of ours fits the kernel on %s', (architecture) => {
    for (const profile of Object.values(PROFILES)) {
      const program = compileProfile(profile, architecture)
      expect(program.length).toBeLessThanOrEqual(MAX_INSTRUCTIONS)
      expect(encodeProgram(program)).toHaveLength(program.length * INSTRUCTION_BYTES)
      for (const { jt, jf } of program) expect(Math.max(jt, jf)).toBeLessThan(256)
    }
  })
})

function meaning(profile: Profile, name: string, args: readonly bigint[]): 'allow' | 'ask' | number {
  const verdict = verdictOf(profile, name, args)
  if (verdict === 'allow' || verdict === 'ask') return verdict
  return verdict === 'done' ? 0 : constants.errno[verdict]
}

function verdictOf(profile: Profile, name: string, args: readonly bigint[]): Verdict {
  if (profile.allow.includes(name)) return 'allow'
  if (profile.ask.includes(name)) return 'ask'
  const conditional = profile.conditional[name]
  if (conditional === undefined) return profile.refuse.EPERM?.includes(name) === true ? 'EPERM' : 'ENOSYS'
  const found = conditional.rules.find(({ when }) => when.every((test) => holds(test, args[test.argument] ?? 0n)))
  return found?.answer ?? conditional.otherwise
}

function holds(test: Test, value: bigint): boolean {
  if ('isNull' in test) return value === 0n
  const low = Number(BigInt.asUintN(32, value))
  return test.is.includes((low & (test.mask ?? 0xffff_ffff)) >>> 0)
}
