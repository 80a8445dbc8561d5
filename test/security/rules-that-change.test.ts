import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { type Caller, startCaller } from '../fixtures/caller/caller.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

/**
 * What a program has of a file when a rule takes the file away: as docs/SECURITY.md says, each of it. As root on the mount,
 * whom no mode holds, and as the view's own user, whose writes the kernel gathers.
 */
const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2]
const OWNER = 12_345
const OPEN: readonly Rule[] = [{ pattern: '**', type: 'glob', level: 'write' }]
const CASES = 9

/** A directory of each case's own, with `file` in it, and `sub`, which is full; and rules that give it a level. */
interface Given {
  readonly mounted: MountedView
  readonly c: Caller
  readonly dir: string
  setLevel(level: Rule['level']): Promise<void>
}

interface Place extends AsyncDisposable {
  next(): Promise<Given>
}

async function prepare(uid: number): Promise<Place> {
  const base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
  for (let at = 0; at < CASES; at++) {
    fs.mkdirSync(join(base, `dir${at}/sub`), { recursive: true })
    fs.writeFileSync(join(base, `dir${at}/file`), 'secret')
    for (let index = 0; index < 400; index++) fs.writeFileSync(join(base, `dir${at}/sub/name-${index}`), '')
  }
  const owner = { uid: OWNER, gid: OWNER }
  const mounted = await mountedView({ base, rules: OPEN, owner, unprivileged: uid !== 0 })
  fs.rmSync(base, { recursive: true })
  fs.chmodSync(join(mounted.path, '..'), 0o711)
  let callers: Caller[] = []
  const leave = async () => {
    for (const caller of callers) await caller[Symbol.asyncDispose]()
    callers = []
  }
  let cases = 0
  return {
    async next() {
      await leave()
      await mounted.view.setRules(OPEN)
      const c = await startCaller(mounted.path, uid)
      callers.push(c)
      const dir = `dir${cases++}`
      const setLevel = (level: Rule['level']) =>
        mounted.view.setRules([...OPEN, { pattern: `${dir}/**`, type: 'glob', level }])
      return { mounted, c, dir, setLevel }
    },
    async [Symbol.asyncDispose]() {
      await leave()
      await mounted[Symbol.asyncDispose]()
    },
  }
}

beforeEach((context) => needs(context, 'root', 'fuse'))

for (const uid of [0, OWNER]) {
  describe(`when a rule takes a file away from ${uid === 0 ? 'root' : 'an ordinary user'}`, () => {
    let place: Place | undefined
    let given: Given
    beforeAll(async () => {
      if (await has('root', 'fuse')) place = await prepare(uid)
    })
    beforeEach(async () => {
      if (place === undefined) throw new Error('not prepared')
      given = await place.next()
    })
    afterAll(() => place?.[Symbol.asyncDispose]())

    it('a handle reads no more of it, though it has been read, not through /proc, O_DIRECT or a pipe either', async () => {
      const { c, dir, setLevel } = given
      const fd = await c.open(`${dir}/file`, O_RDONLY)
      expect(await c.read(fd, 10, 0)).toBe('secret')
      for (const [level, errno] of [
        ['none', 'ENOENT'],
        ['view', 'EACCES'],
      ] as const) {
        await setLevel(level)
        expect(await c.errno('read', fd, 10, 0)).toBe(errno)
        expect(await c.errno('readSpliced', fd, 10)).toBe(errno)
        expect(await c.answer('readFile', `/proc/self/fd/${fd}`)).not.toHaveProperty('value')
        expect(await c.answer('readDirect', `/proc/self/fd/${fd}`, 1, 0)).not.toHaveProperty('value')
        expect(await c.answer('getxattr', `${dir}/file`, 'user.x')).toEqual({ errno })
      }
    })

    it('a handle writes no more to it, and hears of that at the latest when it is synced or closed', async () => {
      const { mounted, c, dir, setLevel } = given
      const fd = await c.open(`${dir}/file`, O_WRONLY)
      await c.write(fd, 'S', 0)
      await setLevel('read')
      const written = await c.answer('write', fd, 'changed', 0)
      const synced = await c.answer('fsync', fd)
      expect([written, synced].some((answer) => 'errno' in answer)).toBe(true)
      expect(await c.answer('ftruncate', fd, 0)).toEqual({ errno: 'EACCES' })
      expect(await contentsOf(mounted, `${dir}/file`)).toBe('Secret')
    })

    it('a mapping is gone: who looks there again is ended by a signal', async () => {
      const { c, mounted, dir, setLevel } = given
      await using d = await startCaller(mounted.path, uid)
      for (const [caller, shared] of [
        [c, true],
        [d, false],
      ] as const) {
        const map = await caller.mapKeep(await caller.open(`${dir}/file`, O_RDWR), shared)
        expect(await caller.mapRead(map, 6)).toBe('secret')
      }
      await setLevel('none')
      for (const caller of [c, d]) expect(await caller.dies('mapRead', 0, 6)).toBe('SIGBUS')
    })

    it('a process in a directory that is hidden finds nothing there, and makes nothing', async () => {
      const { c, dir, setLevel } = given
      await c.chdir(`${dir}/sub`)
      const [one] = await c.readdir('.')
      await setLevel('none')
      expect(await c.errno('readdir', '.')).toBe('ENOENT')
      expect(await c.errno('lstat', one ?? '')).toBe('ENOENT')
      expect(await c.errno('readFile', '../file')).toBe('ENOENT')
      expect(await c.answer('mkdir', 'new')).not.toHaveProperty('value')
      expect(await c.answer('open', '.', O_WRONLY | 0o20200000)).not.toHaveProperty('value')
    })

    it('a process in a directory that is removed does not keep the next rules from being in force', async () => {
      const { mounted, c, dir, setLevel } = given
      await c.chdir(`${dir}/sub`)
      await mounted.view.remove(`${dir}/sub`, 'owner', true)
      await setLevel('read')
      await c.lstat(`${mounted.path}/${dir}/file`)
      await setLevel('none')
      expect(await c.errno('lstat', `${mounted.path}/${dir}/file`)).toBe('ENOENT')
      expect(await c.readdir('.')).toEqual([])
    })

    it('a listing that has begun goes on without it', async () => {
      const { mounted, c, dir } = given
      const fd = await c.open(`${dir}/sub`, O_RDONLY)
      const begun = await c.getdents(fd, 400)
      await mounted.view.setRules([...OPEN, { pattern: `${dir}/sub/name-*`, type: 'glob', level: 'none' }])
      const rest: string[] = []
      for (let more = await c.getdents(fd, 65_536); more.length > 0; more = await c.getdents(fd, 65_536)) {
        rest.push(...more.map(({ name }) => name))
      }
      expect(begun.length).toBeGreaterThan(0)
      // What one call of the kernel's has fetched already, it gives out.
      expect(rest.length).toBeLessThan(400 - begun.length)
      expect(await c.readdir(`${dir}/sub`)).toEqual([])
    })

    it('a watch hears nothing of what others do to it', async () => {
      const { mounted, c, dir, setLevel } = given
      const watches = [await c.watch(dir), await c.watch(`${dir}/file`)]
      await setLevel('none')
      for (const fd of watches) await c.answer('read', fd, 4096)
      await mounted.view.write(`${dir}/file`, 'owner', chunks('other'), {})
      await mounted.view.write(`${dir}/new`, 'owner', chunks('new'), {})
      await mounted.view.rename(`${dir}/new`, `${dir}/newer`, 'owner')
      await mounted.view.remove(`${dir}/newer`, 'owner', false)
      for (const fd of watches) expect(await c.errno('read', fd, 4096)).toBe('EAGAIN')
      expect(await c.answer('watch', dir)).toEqual({ errno: 'ENOENT' })
    })

    it('a file that has lost its name before stays with who has it open', async () => {
      const { c, dir, setLevel } = given
      const fd = await c.open(`${dir}/file`, O_RDWR)
      await c.unlink(`${dir}/file`)
      await setLevel('none')
      expect(await c.read(fd, 10, 0)).toBe('secret')
      expect(await c.answer('linkFd', fd, 'kept')).toEqual({ errno: 'ENOENT' })
    })

    it('and gives it back, it can be written through a handle that was open meanwhile, though it is deleted then', async () => {
      const { mounted, c, dir, setLevel } = given
      const fd = await c.open(`${dir}/file`, O_RDWR)
      await setLevel('read')
      expect((await c.fstat(fd)).mode & 0o222).toBe(0)
      await mounted.view.setRules(OPEN)
      await c.unlink(`${dir}/file`)
      expect(await c.write(fd, 'S', 0)).toBe(1)
      expect(await c.read(fd, 10, 0)).toBe('Secret')
    })
  })
}

async function contentsOf({ view }: MountedView, path: string): Promise<string> {
  const found: Buffer[] = []
  for await (const chunk of view.read(path, 'owner', 0)) found.push(chunk)
  return Buffer.concat(found).toString('latin1')
}

async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
