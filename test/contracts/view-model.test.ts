import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'
import { give, OWNER, plant } from './model/planted.ts'
import { type Side, startSide } from './model/side.ts'
import { type Step, sequence, stepAmong } from './model/steps.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

const [ROOT, OTHER] = [0, 54_321]
/** One of no UTF-8, and one as long as a name may be. */
const NAMES = ['a', 'b', 'c', 'd', '\xff\xfe', 'n'.repeat(255)]
const STEPS_MAX = 2500
/** More of them where there is time: CROFT_MODEL_RUNS multiplies. */
const TIMES = Number(process.env['CROFT_MODEL_RUNS'] ?? 1)
const LONGEST_MS = 300_000 * TIMES

/**
 * Random sequences of calls by three processes, made on a view and on a plain directory (ext4): same answers, same
 * errors, same tree, the same again after a remount, and the same sequence goes on after it.
 */
describe('a view and a plain directory', () => {
  const kinds = {
    'whose writes the kernel gathers, over an empty base': { uids: [OWNER, OWNER, OTHER], plant: () => undefined },
    'whose writes the kernel gathers, over a base': { uids: [OWNER, OWNER, OTHER], plant },
    'where root is among the callers, over a base': { uids: [ROOT, OWNER, OTHER], plant },
  }
  for (const [title, { uids, plant }] of Object.entries(kinds)) {
    it(
      `answer any sequence of calls alike, ${title}`,
      async () => {
        await using there = await startSide({ uids, reusesNumbers: true })
        await using here = await startSide({ uids, reusesNumbers: false })
        await fc.assert(
          fc.asyncProperty(sequence(stepAmong(NAMES), STEPS_MAX), async (steps) => {
            await compare(steps, { here, there, plant, unprivileged: !uids.includes(ROOT) })
          }),
          { numRuns: 4 * TIMES, interruptAfterTimeLimit: LONGEST_MS, markInterruptAsFailure: true },
        )
      },
      2 * LONGEST_MS,
    )
  }
})

interface Setting {
  readonly here: Side
  readonly there: Side
  readonly plant: (directory: string) => void
  readonly unprivileged: boolean
}

async function compare(steps: readonly Step[], { here, there, plant, unprivileged }: Setting): Promise<void> {
  const plain = fs.mkdtempSync(join(tmpdir(), 'croft-plain-'))
  try {
    // One level down, so that a link to `..` stays within what both have.
    fs.chmodSync(plain, 0o755)
    fs.mkdirSync(join(plain, 'top'))
    plant(join(plain, 'top'))
    give(plain)
    await using mounted = await mountedView({ base: plain, unprivileged, owner: { uid: OWNER, gid: OWNER } })
    fs.chmodSync(join(mounted.path, '..'), 0o711)
    const half = Math.floor(steps.length / 2)
    await there.enter(plain, join(plain, 'top'))
    await here.enter(mounted.path, join(mounted.path, 'top'))
    try {
      await makeAll(steps.slice(0, half), here, there)
      expect(here.tree()).toEqual(there.tree())
      for (const side of [here, there]) await side.leave()
      const inodes = here.inodes()
      await mounted.remount()
      expect(here.tree()).toEqual(there.tree())
      expect(here.inodes()).toEqual(inodes)
      for (const [side, root] of [
        [here, mounted.path],
        [there, plain],
      ] as const) {
        // Whoever owns it may have shut everybody out.
        fs.chmodSync(join(root, 'top'), 0o777)
        await side.goOn()
      }
      await makeAll(steps.slice(half), here, there)
      expect(here.tree()).toEqual(there.tree())
    } finally {
      for (const side of [here, there]) await side.leave()
    }
    await mounted.remount()
    expect(here.tree()).toEqual(there.tree())
    expect(mounted.log).toEqual([])
  } finally {
    fs.rmSync(plain, { recursive: true })
  }
}

async function makeAll(steps: readonly Step[], here: Side, there: Side): Promise<void> {
  for (const [index, step] of steps.entries()) {
    const [answer, wanted] = await Promise.all([here.make(step), there.make(step)])
    expect({ index, step, answer }).toEqual({ index, step, answer: wanted })
  }
}
