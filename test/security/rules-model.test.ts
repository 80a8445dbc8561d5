import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { NONE, READ } from '../../fs-layer/policy/rule.ts'
import { give, OWNER } from '../contracts/model/planted.ts'
import { type Side, startSide } from '../contracts/model/side.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { naiveLevel } from '../fixtures/naive-level.ts'
import { needs } from '../needs.ts'
import { faultsBetween, restrictedOf, seenIn, type Truth, truthOf, visibleOf } from './rules-model/truth.ts'
import { alter, type Epoch, epochs, type Planted, plant, planted } from './rules-model/world.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

/** More of them where there is time: CROFT_MODEL_RUNS multiplies. */
const TIMES = Number(process.env['CROFT_MODEL_RUNS'] ?? 1)
const LONGEST_MS = 300_000 * TIMES
const runs = (count: number) => ({
  numRuns: count * TIMES,
  interruptAfterTimeLimit: LONGEST_MS,
  markInterruptAsFailure: true,
})

/**
 * Random rules, a random base and random sequences of calls by root and ordinary users, on two views whose bases differ
 * only in what may never be read. After each part, what the owner has and what a program sees is held against a model of
 * the rules that does not know how the view works.
 */
describe('whatever programs do under any rules', () => {
  const kinds = {
    'root and others': [0, OWNER, 54_321],
    'ordinary users': [OWNER, OWNER, 54_321],
  }
  for (const [who, uids] of Object.entries(kinds)) {
    it(
      `${who} learn nothing of what is hidden, and change nothing that they may not`,
      async () => {
        await using one = await startSide({ uids, reusesNumbers: false })
        await using other = await startSide({ uids, reusesNumbers: false })
        await fc.assert(
          fc.asyncProperty(planted, epochs(600, { minLength: 1, maxLength: 1 }), async (entries, parts) => {
            await act(entries, parts, { one, other, unprivileged: !uids.includes(0) })
          }),
          runs(3),
        )
      },
      2 * LONGEST_MS,
    )

    it(
      `${who} learn nothing more when the rules change, and keep nothing that they take away`,
      async () => {
        await using one = await startSide({ uids, reusesNumbers: false })
        await using other = await startSide({ uids, reusesNumbers: false })
        await fc.assert(
          fc.asyncProperty(planted, epochs(150, { minLength: 2, maxLength: 5 }), async (entries, parts) => {
            await act(entries, parts, { one, other, unprivileged: !uids.includes(0) })
          }),
          runs(3),
        )
      },
      2 * LONGEST_MS,
    )
  }
})

interface Setting {
  readonly one: Side
  readonly other: Side
  readonly unprivileged: boolean
}

async function act(entries: readonly Planted[], parts: readonly Epoch[], setting: Setting): Promise<void> {
  const { one, other, unprivileged } = setting
  await using here = await world(entries, parts, unprivileged, () => undefined)
  await using there = await world(entries, parts, unprivileged, alterFor)
  try {
    await one.enter(here.path, here.path)
    await other.enter(there.path, there.path)
    for (const [number, { rules, steps }] of parts.entries()) {
      if (number > 0) for (const { view } of [here, there]) await view.setRules(rules)
      const before = await truthOf(here.view)
      const secrets = unreadable(before, parts, number)
      for (const [index, step] of steps.entries()) {
        const [answer, same] = await Promise.all([one.make(step), other.make(step)])
        expect({ number, index, step, answer }).toEqual({ number, index, step, answer: same })
        const told = secrets.find((secret) => typeof answer === 'string' && answer.includes(secret))
        expect({ number, index, step, told }).toEqual({ number, index, step, told: undefined })
      }
      const after = await truthOf(here.view)
      expect(faultsBetween(before, after, rules)).toEqual([])
      for (const [root, truth] of [
        [here.path, after],
        [there.path, await truthOf(there.view)],
      ] as const) {
        const visible = visibleOf(truth, rules)
        expect(seenIn(root, visible)).toEqual(visible)
      }
    }
    // Of writes that were gathered before the rules changed, and refused when they were sent.
    const refused = /^not all that was written could be kept/
    expect([...here.log, ...there.log].filter((line) => !refused.test(line))).toEqual([])
  } finally {
    for (const side of [one, other]) await side.leave()
  }
}

/** What files hold that may not be read now. Only while no call can copy it to where it may. */
function unreadable(truth: Truth, parts: readonly Epoch[], number: number): string[] {
  const copies = parts.some(({ steps }) => steps.some(({ call }) => call === 'copyRange'))
  if (copies) return []
  return [...restrictedOf(truth, parts[number]?.rules ?? []).values()]
    .filter(({ level, told }) => level < READ && told.kind === 'file' && told.contents.startsWith('['))
    .map(({ told }) => told.contents.trimEnd())
}

/** What differs in the other world: where rules change, only what stays hidden wherever it is moved. */
function alterFor(base: string, parts: readonly Epoch[]): void {
  const rules = parts.length > 1 ? undefined : parts[0]?.rules
  const level = (path: string) => {
    if (path.split('/').includes('s')) return NONE
    return rules === undefined ? READ : naiveLevel(rules, path)
  }
  alter(base, { isHidden: (path) => level(path) === NONE, isReadable: (path) => level(path) >= READ })
}

async function world(
  entries: readonly Planted[],
  parts: readonly Epoch[],
  unprivileged: boolean,
  change: typeof alterFor,
): Promise<MountedView> {
  const base = fs.mkdtempSync(join(tmpdir(), 'croft-world-'))
  try {
    fs.chmodSync(base, 0o777)
    plant(base, entries)
    change(base, parts)
    give(base)
    const rules = parts[0]?.rules ?? []
    const mounted = await mountedView({ base, rules, unprivileged, owner: { uid: OWNER, gid: OWNER } })
    fs.chmodSync(join(mounted.path, '..'), 0o711)
    return mounted
  } finally {
    fs.rmSync(base, { recursive: true })
  }
}
