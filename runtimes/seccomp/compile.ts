import { constants } from 'node:os'
import { NUMBERS } from './numbers.ts'
import type { Profile, Rule, Test, Verdict } from './profiles.ts'

export type Architecture = 'x64' | 'arm64'

/** One instruction of classic BPF, as `struct sock_filter` has it. */
export interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

/** More are refused by the kernel (BPF_MAXINSNS). */
export const MAX_INSTRUCTIONS = 4096
export const INSTRUCTION_BYTES = 8

export const Code = {
  /** The accumulator from the offset `k` of `struct seccomp_data`. */
  load: 0x20,
  and: 0x54,
  jump: 0x05,
  jumpIfEqual: 0x15,
  jumpIfAtLeast: 0x35,
  return: 0x06,
} as const

/** Offsets in `struct seccomp_data`. Both architectures are little-endian: the low half of an argument comes first. */
const NUMBER_AT = 0
const ARCHITECTURE_AT = 4
const ARGUMENTS_AT = 16

/** AUDIT_ARCH_*, and the place in the table of numbers. */
const ARCHITECTURES = {
  x64: { audit: 0xc000_003e, column: 0 },
  arm64: { audit: 0xc000_00b7, column: 1 },
} as const

const SECCOMP_RET_ALLOW = 0x7fff_0000
const SECCOMP_RET_ERRNO = 0x0005_0000
const SECCOMP_RET_USER_NOTIF = 0x7fc0_0000

/**
 * The profile as a program for the kernel. Pure. What comes by another architecture's door (32-bit calls on a 64-bit
 * kernel) is ENOSYS whatever it is, and so is every number above the last one that is known: x32 among them, which
 * sets a bit above.
 */
export function compileProfile(profile: Profile, architecture: Architecture): Instruction[] {
  const { audit, column } = ARCHITECTURES[architecture]
  const segments = segmentsOf(profile, column)
  const program = [
    load(ARCHITECTURE_AT),
    { code: Code.jumpIfEqual, jt: 1, jf: 0, k: audit },
    verdict('ENOSYS'),
    load(NUMBER_AT),
    ...search(segments),
  ]
  if (program.length > MAX_INSTRUCTIONS) throw new Error(`a filter of ${program.length} instructions`)
  return program
}

/** As the kernel reads it: an array of `struct sock_filter`. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES)
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    const at = index * INSTRUCTION_BYTES
    bytes.writeUInt16LE(code, at)
    bytes.writeUInt8(jt, at + 2)
    bytes.writeUInt8(jf, at + 3)
    bytes.writeUInt32LE(k, at + 4)
  }
  return bytes
}

/** From this number to the next segment's, all are treated alike. */
interface Segment {
  readonly from: number
  readonly code: readonly Instruction[]
}

function segmentsOf(profile: Profile, column: 0 | 1): Segment[] {
  const unknown = [verdict('ENOSYS')]
  const byNumber = new Map<number, readonly Instruction[]>()
  const put = (name: string, code: readonly Instruction[]) => {
    const numbers = NUMBERS[name]
    if (numbers === undefined) throw new Error(`no system call is named ${name}`)
    const number = numbers[column]
    // The architecture has no such call.
    if (number === undefined) return
    if (byNumber.has(number)) throw new Error(`the profile speaks of ${name} twice`)
    byNumber.set(number, code)
  }
  const allow = [verdict('allow')]
  for (const name of profile.allow) put(name, allow)
  for (const name of profile.ask) put(name, [verdict('ask')])
  for (const [errno, names] of Object.entries(profile.refuse)) {
    const code = errno === 'ENOSYS' ? unknown : [verdict(errno as Verdict)]
    for (const name of names) put(name, code)
  }
  for (const [name, { rules, otherwise }] of Object.entries(profile.conditional)) {
    put(name, [...rules.flatMap(compileRule), verdict(otherwise)])
  }

  const segments: Segment[] = []
  const last = Math.max(-1, ...byNumber.keys())
  for (let number = 0; number <= last + 1; number++) {
    const code = byNumber.get(number) ?? unknown
    if (code !== segments.at(-1)?.code) segments.push({ from: number, code })
  }
  return segments
}

/** A binary search for the number in the accumulator, with the segments' code as its leaves. */
function search(segments: readonly Segment[]): Instruction[] {
  const middle = segments.length >> 1
  const right = segments[middle]
  if (right === undefined) throw new Error('a filter of nothing')
  if (segments.length === 1) return [...right.code]
  const below = search(segments.slice(0, middle))
  const above = search(segments.slice(middle))
  // Conditional jumps reach 255 instructions, unconditional ones any.
  return [
    { code: Code.jumpIfAtLeast, jt: 0, jf: 1, k: right.from },
    { code: Code.jump, jt: 0, jf: 0, k: below.length },
    ...below,
    ...above,
  ]
}

/** Falls through to what comes after where a test fails. */
function compileRule({ when, answer }: Rule): Instruction[] {
  let code: Instruction[] = [verdict(answer)]
  for (const test of when.toReversed()) code = [...compileTest(test, code.length), ...code]
  return code
}

/** Jumps over the next `rest` instructions where it fails. */
function compileTest(test: Test, rest: number): Instruction[] {
  const low = ARGUMENTS_AT + 8 * test.argument
  if ('isNull' in test) {
    return [
      load(low),
      { code: Code.jumpIfEqual, jt: 0, jf: rest + 2, k: 0 },
      load(low + 4),
      { code: Code.jumpIfEqual, jt: 0, jf: rest, k: 0 },
    ]
  }
  const masked = test.mask === undefined ? [] : [{ code: Code.and, jt: 0, jf: 0, k: test.mask >>> 0 }]
  const compares = test.is.map((value, index) => {
    const after = test.is.length - 1 - index
    return { code: Code.jumpIfEqual, jt: after, jf: after === 0 ? rest : 0, k: value >>> 0 }
  })
  return [load(low), ...masked, ...compares]
}

function load(offset: number): Instruction {
  return { code: Code.load, jt: 0, jf: 0, k: offset }
}

function verdict(what: Verdict): Instruction {
  return { code: Code.return, jt: 0, jf: 0, k: actionOf(what) }
}

function actionOf(what: Verdict): number {
  if (what === 'allow') return SECCOMP_RET_ALLOW
  if (what === 'ask') return SECCOMP_RET_USER_NOTIF
  // An error of 0 is success, and the call is not made.
  if (what === 'done') return SECCOMP_RET_ERRNO
  return SECCOMP_RET_ERRNO | constants.errno[what]
}
