import { fork } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { DEATHS_MAX, REPEATS_MAX } from '../../fs-layer/worker/limits.ts'
import { startCaller } from '../fixtures/caller/caller.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { startedThreads } from '../fixtures/started-threads.ts'
import { needs } from '../needs.ts'

const { O_CREAT, O_RDWR } = fs.constants
const O_TMPFILE = 0o20200000
const LOCK_EX_NB = 6
const KILLS = 40
const CHUNK_BYTES = 1 << 20

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a filesystem thread that ends', () => {
  it.each([
    ['with the kernel gathering writes', true],
    ['with each write sent', false],
  ])(
    'takes nothing with it that a program has been told, %s',
    async (_, unprivileged) => {
      const threads = startedThreads()
      const dir = fs.mkdtempSync(join(tmpdir(), 'croft-death-'))
      onTestFinished(() => fs.rmSync(dir, { recursive: true }))
      const names = ['one', 'two']
      for (const name of names) fs.mkdirSync(join(dir, name, 'a'), { recursive: true })
      await using mounted = await mountedView({ base: dir, unprivileged, layer: { deathsMax: KILLS } })
      const programs = names.map((name, index) => busy(join(mounted.path, name), join(dir, name), index + 1))
      for (let kill = 0; kill < KILLS; kill++) {
        await Promise.all(programs.map(({ progress }) => progress()))
        // Anywhere in what they do next: the spread is what finds things.
        await after((kill * 7) % 60)
        await threads.last.terminate()
      }
      expect(await Promise.all(programs.map(({ stop }) => stop()))).toEqual(['', ''])
      expect(mounted.log.length).toBe(KILLS)
    },
    300_000,
  )
})

describe('what was open', () => {
  it('goes on: directories, files, mappings and locks of programs inside', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView({ unprivileged: true })
    await using caller = await startCaller(mounted.path)
    await caller.mkdir('d')
    await caller.chdir('d')
    const fd = await caller.open('file', O_CREAT | O_RDWR)
    await caller.write(fd, 'before ')
    await caller.flock(fd, LOCK_EX_NB)
    const { ino } = await caller.fstat(fd)
    await threads.last.terminate()
    await caller.write(fd, 'after')
    expect(await caller.readFile('file')).toBe('before after')
    expect((await caller.stat('../d/file')).ino).toBe(ino)
    await using other = await startCaller(mounted.path)
    expect(await other.errno('flock', await other.open('d/file', O_RDWR), LOCK_EX_NB)).toBe('EAGAIN')
  })

  it('is stale where it had no name any more, and its number goes to no other file', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    await using caller = await startCaller(mounted.path)
    const unlinked = await caller.open('gone', O_CREAT | O_RDWR)
    await caller.write(unlinked, 'secret')
    await caller.unlink('gone')
    const unnamed = await caller.open('.', O_TMPFILE | O_RDWR)
    await threads.last.terminate()
    for (const name of ['a', 'b', 'c']) await caller.writeFile(name, name)
    expect(await caller.errno('write', unlinked, 'more')).toBe('ESTALE')
    expect(await caller.errno('write', unnamed, 'more')).toBe('ESTALE')
    for (const name of ['a', 'b', 'c']) expect(await caller.readFile(name)).toBe(name)
  })
})

describe('the server', () => {
  it('hears of a call that was under way, and of a stream, that it can be made again', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    const { view } = mounted
    await view.write('big', 'owner', chunks(8), {})
    const reading = view.read('big', 'owner', 0)[Symbol.asyncIterator]()
    await reading.next()
    const made = Promise.allSettled([view.mkdir('one', 'owner', 0o755), view.stat('big', 'owner'), view.sync()])
    await threads.last.terminate()
    const [mkdir, stat, sync] = await made
    // Perhaps it was answered before.
    if (mkdir.status === 'rejected') expect(mkdir.reason).toMatchObject({ name: 'FsLayerError', code: 'thread-died' })
    expect([stat.status, sync.status]).toEqual(['fulfilled', 'fulfilled'])
    await expect(drained(reading)).rejects.toMatchObject({ code: 'thread-died' })
    expect((await view.stat('big', 'owner')).size).toBe(8 * CHUNK_BYTES)
  })

  it('finds rules, owner and quota as it set them last', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    await using caller = await startCaller(mounted.path)
    await caller.writeFile('seen', 'x')
    await caller.writeFile('hidden', 'x')
    const held = await caller.open('hidden', O_RDWR)
    await mounted.view.setQuota({ inodes: 2 })
    await threads.last.terminate()
    expect(await caller.errno('mkdir', 'more')).toBe('EDQUOT')
    // The successor knows what the kernel was given by the one before, and takes it back.
    await mounted.view.setRules([{ pattern: '/seen', type: 'file', level: 'read' }])
    expect(await caller.readdir('.')).toEqual(['seen'])
    expect(await caller.errno('read', held, 1)).toBe('ENOENT')
    await threads.last.terminate()
    expect(await caller.readdir('.')).toEqual(['seen'])
    expect(await caller.errno('stat', 'hidden')).toBe('ENOENT')
  })

  it('sees no more open files after fifty threads than after ten', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView({ layer: { deathsMax: 50 } })
    await using caller = await startCaller(mounted.path)
    const open: number[] = []
    for (let death = 1; death <= 50; death++) {
      await caller.writeFile(`file${death % 10}`, 'x'.repeat(20_000))
      const synced = await caller.open(`file${death % 10}`, O_RDWR)
      await caller.fsync(synced)
      await caller.close(synced)
      await threads.last.terminate()
      await mounted.view.sync()
      if (death % 10 === 0) open.push(fs.readdirSync('/proc/self/fd').length)
    }
    const [early = 0, ...later] = open
    expect(Math.max(...later) - early).toBeLessThan(10)
  }, 120_000)

  it('is told of a view that does not come back, and can open it again when it is mended', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    await using caller = await startCaller(mounted.path)
    const fd = await caller.open('file', O_CREAT | O_RDWR)
    await mounted.view.sync()
    fs.renameSync(join(mounted.deltaDir, 'index'), join(mounted.deltaDir, 'aside'))
    fs.writeFileSync(join(mounted.deltaDir, 'index'), 'no directory')
    await threads.last.terminate()
    expect((await mounted.view.lost).message).toMatch('the view did not come back')
    expect(await caller.errno('write', fd, 'x')).toMatch(/ENOTCONN|ECONNABORTED/)
    expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(mounted.path)
    await expect(mounted.view.stat('file', 'owner')).rejects.toMatchObject({ code: 'view-lost' })
    await expect(mounted.view.list('', 'owner', false)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'view-lost',
    })
    fs.rmSync(join(mounted.deltaDir, 'index'))
    fs.renameSync(join(mounted.deltaDir, 'aside'), join(mounted.deltaDir, 'index'))
    await mounted.remount()
    expect(await caller.readdir(mounted.path)).toEqual(['file'])
  })

  it('changes what programs inside see at once, whatever died meanwhile', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView({ unprivileged: true, layer: { deathsMax: 30 } })
    await using caller = await startCaller(mounted.path)
    for (let round = 0; round < 30; round++) {
      const name = `dir${round}`
      expect(await caller.errno('stat', name)).toBe('ENOENT')
      const made = mounted.view.mkdir(name, 'owner', 0o755).then(
        () => true,
        () => false,
      )
      await after(round % 4)
      await threads.last.terminate()
      const isAnswered = await made
      // Answered by the successor: by then the kernel has been told of what was changed and not answered, too.
      const isKnown = await mounted.view.stat(name, 'owner').then(
        () => true,
        () => false,
      )
      const isThere = (await caller.answer('stat', name)) as { value?: unknown }
      expect({ round, isThere: 'value' in isThere }).toEqual({ round, isThere: isKnown })
      if (isAnswered) expect(isKnown).toBe(true)
    }
  }, 60_000)

  it('stops in good order though the thread dies over it', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView({ unprivileged: true })
    await using caller = await startCaller(mounted.path)
    for (let n = 0; n < 50; n++) await caller.writeFile(`file${n}`, 'x'.repeat(n * 1000))
    const remounted = mounted.remount()
    await threads.last.terminate()
    await remounted
    for (let n = 0; n < 50; n++) expect((await caller.stat(join(mounted.path, `file${n}`))).size).toBe(n * 1000)
  })

  it('is told when the thread dies too often, and by then the mount is gone', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    await using caller = await startCaller(mounted.path)
    const fd = await caller.open('file', O_CREAT | O_RDWR)
    for (let death = 0; death <= DEATHS_MAX; death++) {
      await caller.write(fd, 'x')
      await threads.last.terminate()
    }
    expect((await mounted.view.lost).message).toMatch(`has died ${DEATHS_MAX + 1} times in 60 s`)
    expect(await caller.errno('write', fd, 'x')).toMatch(/ENOTCONN|ECONNABORTED/)
    expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(mounted.path)
    await expect(mounted.view.stat('file', 'owner')).rejects.toMatchObject({ code: 'given-up' })
    await mounted.view.unmount()
    await mounted.view.close()
  })
})

describe('a thread that ends by itself', () => {
  it('of a fault is replaced, and the log says of which', async () => {
    const threads = startedThreads()
    await using mounted = await mountedView()
    const exited = exitOf(threads.last)
    threads.last.postMessage(null)
    await exited
    await mounted.view.sync()
    expect(mounted.log).toEqual([expect.stringMatching(/died and was replaced.*TypeError/)])
  })

  it('of a heap that one call fills each time it is made fails that call, and nothing else', async () => {
    await using mounted = await mountedView({ layer: { heapMaxMiB: 48 } })
    await using caller = await startCaller(mounted.path)
    await caller.writeFile('kept', 'x')
    const tooMuch = mounted.view.setRules(
      Array.from({ length: 400_000 }, (_, n) => ({ pattern: `/${n}/**`, type: 'glob', level: 'read' })),
    )
    await expect(tooMuch).rejects.toMatchObject({ code: 'thread-died' })
    expect(await caller.readFile('kept')).toBe('x')
    const died = expect.stringMatching(/died and was replaced.*out of memory/)
    expect(mounted.log).toEqual(Array(REPEATS_MAX + 1).fill(died))
  }, 60_000)
})

describe('a thread that is stuck', () => {
  it('is replaced, and the call that it does not answer fails', async () => {
    await using mounted = await mountedView({ layer: { silenceMaxMs: 400 } })
    await using caller = await startCaller(mounted.path)
    await caller.writeFile('kept', 'x')
    // Each directory on the way is walked to from the root.
    const tooMuch = mounted.view.mkdir('x/'.repeat(20_000), 'owner', 0o755)
    await expect(tooMuch).rejects.toMatchObject({ code: 'thread-stuck' })
    expect(await caller.readdir('.')).toEqual(['kept'])
    expect((await mounted.view.stat('kept', 'owner')).size).toBe(1)
    expect(mounted.log).toEqual([expect.stringMatching(/died and was replaced.*not answered for 0.4 s/)])
  })
})

interface Busy {
  /** Resolves when it has made some more calls. */
  progress(): Promise<unknown>
  /** What differed, or nothing. */
  stop(): Promise<string>
}

function busy(view: string, plain: string, seed: number): Busy {
  const program = fileURLToPath(new URL('../../dist/test/faults/busy-program.js', import.meta.url))
  const child = fork(program, [view, plain, String(seed)])
  const ended = new Promise<string>((resolve) => {
    child.on('message', (word) => {
      if (typeof word === 'string') resolve(word)
    })
    child.once('exit', (code, signal) => resolve(`it ended: ${code ?? signal}`))
  })
  return {
    progress: () => Promise.race([once(child, 'message'), ended]),
    stop: () => {
      if (child.connected) child.send('stop')
      return ended
    },
  }
}

function exitOf(thread: Worker): Promise<void> {
  return new Promise((resolve) => thread.once('exit', () => resolve()))
}

async function* chunks(count: number): AsyncGenerator<Buffer> {
  for (let index = 0; index < count; index++) yield Buffer.alloc(CHUNK_BYTES, index)
}

async function drained(iterator: AsyncIterator<unknown>): Promise<void> {
  while (!(await iterator.next()).done);
}
