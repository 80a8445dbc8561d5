import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FileEvent, Principal } from '../../fs-layer/index.ts'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { EVENT_BYTES_MAX, EVENT_NAMES_MAX, EVENTS_MAX } from '../../fs-layer/view/limits.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

const RULES: readonly Rule[] = [
  { pattern: '**', type: 'glob', level: 'write' },
  { pattern: '**/secret*/**', type: 'glob', level: 'none', priority: 10 },
]

let base: string
let mounted: MountedView
let watches: AbortController

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
  sh(base, 'mkdir -p src/deep other secrets; echo one > src/one; echo two > src/two; echo key > secrets/key')
  mounted = await mountedView({ base, rules: RULES })
  watches = new AbortController()
})

afterEach(async () => {
  if (!(await has('root', 'fuse'))) return
  watches.abort()
  await mounted[Symbol.asyncDispose]()
  fs.rmSync(base, { recursive: true })
})

describe('a watch', () => {
  it('begins by saying so, and tells what programs inside do, in order', async () => {
    const watch = watching('owner')
    expect(await watch.next()).toEqual(['reset begin'])
    inside(
      'echo new > made; mkdir dir; echo more >> src/one; chmod 600 src/two; rm src/two; mv made dir/moved; rmdir other',
    )
    inside('ln -s made link; ln src/one hard; mkfifo fifo')
    const told = await untilTold(watch, 'created fifo')
    expect(told).toEqual([
      'created made',
      'modified made',
      'created dir',
      'modified src/one',
      'attributes src/two',
      'deleted src/two',
      'renamed dir/moved from made',
      'deleted other',
      'created link',
      'created hard',
      'created fifo',
    ])
  })

  it('tells what is changed from outside, whoever asked', async () => {
    const watch = watching('sandbox')
    await watch.next()
    await mounted.view.write('outside', 'owner', chunks('x'), {})
    await mounted.view.write('src/one', 'sandbox', chunks('y'), {})
    await mounted.view.write('src/one', 'sandbox', chunks('z'), { append: true })
    await mounted.view.mkdir('a/b', 'sandbox', 0o755)
    await mounted.view.rename('outside', 'a/b/moved', 'owner')
    await mounted.view.remove('a/b', 'sandbox', true)
    expect(await untilTold(watch, 'deleted a/b')).toEqual([
      'created outside',
      'deleted src/one',
      'created src/one',
      'modified src/one',
      'created a',
      'created a/b',
      'renamed a/b/moved from outside',
      'deleted a/b/moved',
      'deleted a/b',
    ])
  })

  it('tells a program inside nothing of what the rules hide, and a move across as coming or going', async () => {
    const sandbox = watching('sandbox')
    const owner = watching('owner')
    await Promise.all([sandbox.next(), owner.next()])
    await mounted.view.write('secrets/new', 'owner', chunks('x'), {})
    await mounted.view.rename('secrets/new', 'shown', 'owner')
    await mounted.view.rename('src/one', 'secrets/one', 'owner')
    await mounted.view.rename('secrets/key', 'secrets/key2', 'owner')
    await mounted.view.write('end', 'owner', chunks('x'), {})
    expect(await untilTold(sandbox, 'created end')).toEqual(['created shown', 'deleted src/one', 'created end'])
    expect(await untilTold(owner, 'created end')).toEqual([
      'created secrets/new',
      'renamed shown from secrets/new',
      'renamed secrets/one from src/one',
      'renamed secrets/key2 from secrets/key',
      'created end',
    ])
  })

  it('of one directory is told of it, of what is below and of what it is in, and of nothing beside', async () => {
    const watch = watching('owner', { path: 'src/deep' })
    await watch.next()
    inside('echo x > src/deep/a; echo x > src/deeper; echo x > src/a; mv src/a src/deep/in; mv src/deep/a src/out')
    inside('chmod 700 src; mv src lib; mkdir -p src/deep')
    expect(await untilTold(watch, 'created src/deep')).toEqual([
      'created src/deep/a',
      'modified src/deep/a',
      'created src/deep/in',
      'deleted src/deep/a',
      'deleted src',
      'created src',
      'created src/deep',
    ])
  })

  it('goes on at a cursor, where the last one was left', async () => {
    const first = watching('owner')
    await first.next()
    inside('echo x > a; echo x > b')
    const [event] = await untilEvent(first, 'created a')
    await first.end()
    inside('echo x > c')
    const second = watching('owner', { cursor: event?.cursor ?? '' })
    expect(await untilTold(second, 'modified c')).toEqual([
      'modified a',
      'created b',
      'modified b',
      'created c',
      'modified c',
    ])
  })

  it('is told that it has to look anew when the view was opened anew, at once', async () => {
    const first = watching('owner')
    const [begun] = await first.events()
    await first.end()
    await mounted.remount()
    const cursor = begun?.cursor ?? ''
    const second = watching('owner', { cursor })
    const [renewed] = await second.events()
    expect(renewed).toMatchObject({ kind: 'reset', reason: 'renewed' })
    expect(renewed?.cursor).not.toBe(cursor)
  })

  it('sees one event for many writes as long as it has not read it, and another one after', async () => {
    const watch = watching('owner')
    await watch.next()
    const fd = fs.openSync(join(mounted.path, 'src/one'), 'r+')
    const write = () => {
      for (let i = 0; i < 100; i++) fs.writeSync(fd, 'x')
    }
    write()
    inside('mkdir first')
    expect(await untilTold(watch, 'created first')).toEqual(['modified src/one', 'created first'])
    write()
    write()
    inside('mkdir second')
    expect((await untilTold(watch, 'created second')).filter((line) => line === 'modified src/one')).toHaveLength(1)
    fs.closeSync(fd)
  })

  it('sees another event for a file that has another name since, by all names that it has', async () => {
    inside('ln src/one other-name')
    const watch = watching('owner')
    await watch.next()
    inside('echo x >> src/one; mv src/one src/1; echo x >> src/1; mv src lib; echo x >> lib/1; mkdir end')
    expect(await untilTold(watch, 'created end')).toEqual([
      'modified src/one',
      'modified other-name',
      'renamed src/1 from src/one',
      'modified src/1',
      'modified other-name',
      'renamed lib from src',
      'modified lib/1',
      'modified other-name',
      'created end',
    ])
  })

  it('that keeps up with the limit of events is told all, one event behind it that it must look anew', async () => {
    const kept = watching('owner')
    const late = watching('owner')
    const [begun] = await kept.events()
    await kept.end()
    await late.next()
    // Each is two events.
    makeAndRemove(join(mounted.path, 'd'), EVENTS_MAX / 2)
    const again = watching('owner', { cursor: begun?.cursor ?? '' })
    expect((await again.events())[0]).toMatchObject({ kind: 'created', path: 'd' })
    await again.end()
    fs.mkdirSync(join(mounted.path, 'd'))
    const behind = watching('owner', { cursor: begun?.cursor ?? '' })
    expect(await behind.next()).toEqual(['reset expired'])
    fs.rmdirSync(join(mounted.path, 'd'))
    expect(await behind.next()).toEqual(['deleted d'])
  })

  it('is told that it must look anew where the paths of the events take more room than there is', async () => {
    const first = watching('owner')
    const [begun] = await first.events()
    await first.end()
    const name = 'n'.repeat(255)
    const deep = join(mounted.path, name, name, name, name, name, name, name)
    fs.mkdirSync(deep, { recursive: true })
    makeAndRemove(join(deep, 'd'), EVENT_BYTES_MAX / (2 * 7 * 256))
    const behind = watching('owner', { cursor: begun?.cursor ?? '' })
    expect(await behind.next()).toEqual(['reset expired'])
  })

  it('is told all names of a file that has as many as the limit, and to look anew if it has one more', async () => {
    for (let index = 1; index < EVENT_NAMES_MAX; index++) linkOne(index)
    const watch = watching('owner')
    await watch.next()
    inside('echo x >> src/one; mkdir first')
    const all = await untilTold(watch, 'created first')
    expect(all.filter((line) => line.startsWith('modified '))).toHaveLength(EVENT_NAMES_MAX)
    linkOne(EVENT_NAMES_MAX)
    inside('echo x >> src/one; chmod 600 src/one; mkdir second')
    expect(await untilTold(watch, 'created second')).toEqual([
      `created name-${EVENT_NAMES_MAX}`,
      'reset expired',
      'reset expired',
      'created second',
    ])
  })

  it('is told when other rules show or hide other names', async () => {
    const sandbox = watching('sandbox')
    const owner = watching('owner')
    await Promise.all([sandbox.next(), owner.next()])
    await mounted.view.setRules([{ pattern: '**', type: 'glob', level: 'write' }])
    await mounted.view.write('secrets/new', 'owner', chunks('x'), {})
    expect(await untilTold(sandbox, 'created secrets/new')).toEqual(['reset rules', 'created secrets/new'])
    expect(await untilTold(owner, 'created secrets/new')).toEqual(['created secrets/new'])
  })

  it('goes on over an unmount and a mount of the same view, and works without one', async () => {
    const watch = watching('owner')
    await watch.next()
    inside('echo x > a')
    await mounted.view.unmount()
    await mounted.view.write('b', 'owner', chunks('x'), {})
    await mounted.view.mount(mounted.path)
    inside('echo x > c')
    expect(await untilTold(watch, 'modified c')).toEqual([
      'created a',
      'modified a',
      'created b',
      'created c',
      'modified c',
    ])
  })

  it('ends when the view is closed, and when nobody wants it any more', async () => {
    const closed = watching('owner')
    await closed.next()
    const left = watching('owner')
    await left.next()
    await left.end()
    inside('echo x > last')
    await mounted.view.close()
    expect(await untilTold(closed, undefined)).toEqual(['created last', 'modified last'])
  })

  it('tells what the kernel has gathered when it is sent, at the latest when the file is closed', async () => {
    await mounted[Symbol.asyncDispose]()
    mounted = await mountedView({ base, rules: RULES, unprivileged: true })
    const watch = watching('owner')
    await watch.next()
    const fd = fs.openSync(join(mounted.path, 'src/one'), 'r+')
    fs.writeSync(fd, 'gathered')
    // No process of its own: as each begins, the kernel closes its copy of the file, and sends what was gathered.
    fs.mkdirSync(join(mounted.path, 'written'))
    expect(await untilTold(watch, 'created written')).not.toContain('modified src/one')
    fs.closeSync(fd)
    fs.mkdirSync(join(mounted.path, 'closed'))
    expect(await untilTold(watch, 'created closed')).toContain('modified src/one')
  })
})

interface Watching {
  /** The next events as they are. */
  events(): Promise<FileEvent[]>
  /** The next events, a line for each; none when it has ended. */
  next(): Promise<string[]>
  end(): Promise<void>
}

function watching(as: Principal, options: { path?: string; cursor?: string } = {}): Watching {
  const signal = AbortSignal.any([watches.signal])
  const events = mounted.view.watch({ path: '', ...options }, as, signal)[Symbol.asyncIterator]()
  const next = async () => (await events.next()).value ?? []
  return {
    events: next,
    next: async () => (await next()).map(line),
    end: async () => {
      await events.return?.()
    },
  }
}

/** Lines up to and with the given one; to the end for none. */
async function untilTold(watch: Watching, last: string | undefined): Promise<string[]> {
  const lines: string[] = []
  while (last === undefined || !lines.includes(last)) {
    const more = await watch.next()
    if (more.length === 0) break
    lines.push(...more)
  }
  return lines
}

async function untilEvent(watch: Watching, wanted: string): Promise<FileEvent[]> {
  for (;;) {
    const events = await watch.events()
    const found = events.filter((event) => line(event) === wanted)
    if (found.length > 0) return found
  }
}

function line(event: FileEvent): string {
  if (event.kind === 'reset') return `reset ${event.reason}`
  return `${event.kind} ${event.path}${event.from === undefined ? '' : ` from ${event.from}`}`
}

function linkOne(index: number): void {
  fs.linkSync(join(mounted.path, 'src/one'), join(mounted.path, `name-${index}`))
}

function makeAndRemove(directory: string, times: number): void {
  for (let i = 0; i < times; i++) {
    fs.mkdirSync(directory)
    fs.rmdirSync(directory)
  }
}

async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

function inside(command: string): string {
  return sh(mounted.path, command)
}

function sh(dir: string, command: string): string {
  return execFileSync('sh', ['-c', command], { cwd: dir, encoding: 'utf8' })
}
