import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DeviceCapabilities } from '../../../fs-layer/device/capabilities.ts'
import type { DeviceName } from '../../../fs-layer/device/device.ts'
import { type Caller, startCaller } from '../../fixtures/caller/caller.ts'
import { type MountedView, mountedView } from '../../fixtures/mounted-view.ts'

/** An ordinary user, whom the files of every place belong to. */
export const USER = 12_345
export const STRANGER = 23_456

/** What a case works with: its own directory, planted, as the working directory of two processes of one user. */
export interface Case {
  readonly c: Caller
  readonly d: Caller
  /** A process of a user whom nothing belongs to, in the same directory. */
  stranger(): Promise<Caller>
  readonly uid: number
  /** The directory's path. */
  readonly dir: string
  readonly place: Place
  /** Ends the filesystem thread in good order and begins anew; nothing where there is none. Opens no handles again. */
  remount(): Promise<void>
  /** Skips the case where the device lacks one of these; a plain directory lacks none. */
  able(...abilities: (keyof DeviceCapabilities)[]): void
}

export type Place = 'ext4' | 'new files' | 'files of a base'

export type Cases = Readonly<Record<string, (given: Case) => Promise<void>>>

export interface Given {
  enter(index: number): Promise<Omit<Case, 'able'>>
  close(): Promise<void>
}

/**
 * A place with a directory for each of `count` cases. Each has: `file` (5 bytes, 0644), `large` (100,000 bytes), `dir`
 * with `inner` in it, `empty` (a directory), and `link` (to `file`).
 */
export async function prepare(place: Place, device: DeviceName | null, uid: number, count: number): Promise<Given> {
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
  let other: Caller | undefined
  const callers = () => (other === undefined ? [c, d] : [c, d, other])
  return {
    async enter(index) {
      const dir = join(root, `case${index}`)
      for (const caller of callers()) {
        await caller.chdir(dir)
        await caller.umask(0o022)
      }
      const stranger = async () => {
        other ??= await startCaller(dir, STRANGER)
        return other
      }
      return { c, d, stranger, uid, dir, place, remount: () => leaving(callers(), dir, mounted) }
    },
    async close() {
      for (const caller of callers()) await caller[Symbol.asyncDispose]()
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
