import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest'
import { CAPABILITIES, type DeviceCapabilities } from '../../../fs-layer/device/capabilities.ts'
import type { DeviceName } from '../../../fs-layer/device/device.ts'
import { type Caller, startCaller } from '../../fixtures/caller/caller.ts'
import { type MountedView, mountedView } from '../../fixtures/mounted-view.ts'
import { has, lacks, needs } from '../../needs.ts'
import type { Need } from '../../probes.ts'

/** An ordinary user, whom the files of every place belong to. */
export const USER = 12_345

/** What a case works with: its own directory, planted, as the working directory of two processes of one user. */
export interface Case {
  readonly c: Caller
  readonly d: Caller
  readonly uid: number
  /** The directory's path. */
  readonly dir: string
  readonly place: Place
  /** Ends the filesystem thread in good order and begins anew; nothing where there is none. Opens no handles again. */
  remount(): Promise<void>
  /** Skips the case where the device lacks one of these; a plain directory lacks none. */
  able(...abilities: (keyof DeviceCapabilities)[]): void
}

type Place = 'ext4' | 'new files' | 'files of a base'

export type Cases = Readonly<Record<string, (given: Case) => Promise<void>>>

const PLACES: readonly (readonly [Place, DeviceName | null])[] = [
  ['ext4', null],
  ...(['kernel', 'stream', 'fuse-native'] as const).flatMap(
    (device) => [['new files', device] as const, ['files of a base', device] as const] as const,
  ),
]

/**
 * Runs each case on a plain directory, so that what it expects is what the kernel's own filesystem does, on a view whose
 * files are new, and on one whose files are the base's, through each device; as root and as an ordinary user.
 *
 * Each begins with: `file` (5 bytes, 0644), `large` (100,000 bytes), `dir` with `inner` in it, `empty` (a directory), and
 * `link` (to `file`).
 */
export function conformance(title: string, cases: Cases): void {
  const names = Object.keys(cases)
  for (const [place, device] of PLACES) {
    const needed: Need[] = ['root', 'fuse', ...(device === 'fuse-native' ? (['fuse-native'] as const) : [])]
    for (const uid of [0, USER]) {
      const through = device === null ? '' : ` through ${device}`
      describe(`${title}, ${place}${through}, as ${uid === 0 ? 'root' : 'an ordinary user'}`, () => {
        let given: Given | undefined
        beforeAll(async () => {
          if (await has(...needed)) given = await prepare(place, device, uid, names.length)
        })
        beforeEach((context) => needs(context, ...needed))
        afterAll(() => given?.close())
        names.forEach((name, index) => {
          it(name, async (context) => {
            if (given === undefined) throw new Error('not prepared')
            const able = (...abilities: (keyof DeviceCapabilities)[]) => {
              if (device === null) return
              const missing = abilities.find((ability) => !CAPABILITIES[device][ability])
              if (missing !== undefined) lacks(context, `${missing} (${device})`)
            }
            await cases[name]?.({ ...(await given.enter(index)), able })
          })
        })
      })
    }
  }
}

interface Given {
  enter(index: number): Promise<Omit<Case, 'able'>>
  close(): Promise<void>
}

async function prepare(place: Place, device: DeviceName | null, uid: number, count: number): Promise<Given> {
  const scratch = fs.mkdtempSync(join(tmpdir(), 'croft-posix-'))
  fs.chmodSync(scratch, 0o711)
  const planted = join(scratch, 'planted')
  fs.mkdirSync(planted)
  for (let index = 0; index < count; index++) plant(join(planted, `case${index}`))
  const base = place === 'new files' ? undefined : planted
  const mounted = device === null ? undefined : await mount(base, device, uid !== 0)
  const root = mounted?.path ?? planted
  if (place === 'new files') for (let index = 0; index < count; index++) plant(join(root, `case${index}`))
  if (place !== 'files of a base') give(root)
  const [c, d] = [await startCaller('/', uid), await startCaller('/', uid)]
  return {
    async enter(index) {
      const dir = join(root, `case${index}`)
      for (const caller of [c, d]) {
        await caller.chdir(dir)
        await caller.umask(0o022)
      }
      return { c, d, uid, dir, place, remount: () => leaving([c, d], dir, mounted) }
    },
    async close() {
      await c[Symbol.asyncDispose]()
      await d[Symbol.asyncDispose]()
      await mounted?.[Symbol.asyncDispose]()
      fs.rmSync(scratch, { recursive: true })
    },
  }
}

async function mount(base: string | undefined, device: DeviceName, unprivileged: boolean): Promise<MountedView> {
  const owner = { uid: USER, gid: USER }
  const mounted = await mountedView({ ...(base === undefined ? {} : { base }), device, owner, unprivileged })
  fs.chmodSync(join(mounted.path, '..'), 0o711)
  return mounted
}

/** A working directory in the mount would keep the old one. */
async function leaving(callers: readonly Caller[], dir: string, mounted: MountedView | undefined): Promise<void> {
  for (const caller of callers) await caller.chdir('/')
  await mounted?.remount()
  for (const caller of callers) await caller.chdir(dir)
}

function plant(dir: string): void {
  fs.mkdirSync(join(dir, 'dir'), { recursive: true })
  fs.mkdirSync(join(dir, 'empty'))
  fs.writeFileSync(join(dir, 'file'), 'hello', { mode: 0o644 })
  fs.writeFileSync(join(dir, 'large'), 'x'.repeat(100_000))
  fs.writeFileSync(join(dir, 'dir/inner'), 'inner')
  fs.symlinkSync('file', join(dir, 'link'))
}

function give(path: string): void {
  fs.lchownSync(path, USER, USER)
  if (!fs.lstatSync(path).isDirectory()) return
  for (const name of fs.readdirSync(path)) give(join(path, name))
}
