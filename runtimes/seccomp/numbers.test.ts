import { existsSync } from 'node:fs'
import { execa } from 'execa'
import { beforeEach, describe, expect, it } from 'vitest'
import { needs } from '../../test/needs.ts'
import { NUMBERS } from './numbers.ts'

/** What the kernel says that it wants of the list that most architectures share, as aarch64 has it. */
const GENERIC = `
#define __BITS_PER_LONG 64
#define __ARCH_WANT_RENAMEAT
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_SYS_CLONE3
#define __ARCH_WANT_MEMFD_SECRET
#include <asm-generic/unistd.h>
`

const HEADERS = [
  { architecture: 'x86_64', column: 0, source: '#include <asm/unistd_64.h>', there: '/usr/include/x86_64-linux-gnu' },
  { architecture: 'aarch64', column: 1, source: GENERIC, there: '/usr/include/asm-generic' },
] as const

describe('the numbers of system calls', () => {
  beforeEach((context) => needs(context, 'cc'))

  it.each(HEADERS.filter(({ there }) => existsSync(there)))(
    'are those of the kernel’s headers for $architecture, as far as these go',
    async ({ column, source }) => {
      const theirs = await numbersIn(source)
      expect(theirs.size).toBeGreaterThan(250)
      const ours = Object.entries(NUMBERS).flatMap(([name, numbers]) => {
        const number = numbers[column]
        return number === undefined ? [] : [[name, number] as const]
      })
      const newest = Math.max(...theirs.values())
      for (const [name, number] of ours) {
        if (number <= newest) expect([name, theirs.get(name)]).toEqual([name, number])
      }
      // What we say that this architecture does not have, it has not.
      for (const [name, numbers] of Object.entries(NUMBERS))
        if (numbers[column] === undefined) expect([name, theirs.get(name)]).toEqual([name, undefined])
    },
  )
})

/** As the preprocessor sees them, where some are named by others. */
async function numbersIn(source: string): Promise<ReadonlyMap<string, number>> {
  const { stdout } = await execa('cc', ['-E', '-dM', '-'], { input: source })
  const defined = new Map(
    [...stdout.matchAll(/^#define (__NR\w*) (\S+)$/gm)].map(([, name, value]) => [name ?? '', value ?? ''] as const),
  )
  const numbers = new Map<string, number>()
  for (const [name, value] of defined) {
    let at = value
    while (defined.has(at)) at = defined.get(at) ?? ''
    // How many there are is not one of them.
    if (name.startsWith('__NR_') && name !== '__NR_syscalls' && /^\d+$/.test(at))
      numbers.set(name.slice('__NR_'.length), Number(at))
  }
  return numbers
}
