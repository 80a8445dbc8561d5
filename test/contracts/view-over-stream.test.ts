import { beforeEach, describe, expect, it } from 'vitest'
import { startCaller } from '../fixtures/caller/caller.ts'
import { collect } from '../fixtures/collect.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

const USER = 12_345
const [O_WRONLY, O_CREAT] = [1, 0o100]

beforeEach((context) => needs(context, 'root', 'fuse'))

/** The kernel is another one, as far as the filesystem knows: all that it keeps is asked for over the stream. */
describe('a view whose kernel is reached over a stream', () => {
  const open = () => mountedView({ device: 'stream', owner: { uid: USER, gid: USER }, unprivileged: true })
  const read = async (view: Awaited<ReturnType<typeof open>>['view'], path: string) =>
    Buffer.concat(await collect(view.read(path, 'sandbox', 0))).toString()

  it('shows outside at once what a program wrote and the kernel gathers', async () => {
    await using mounted = await open()
    await using caller = await startCaller(mounted.path)
    const fd = await caller.open('f', O_CREAT | O_WRONLY)
    for (let at = 0; at < 50; at++) await caller.write(fd, 'piece,')
    expect(await read(mounted.view, 'f')).toBe('piece,'.repeat(50))
    await caller.write(fd, 'more')
    expect((await mounted.view.changes()[Symbol.asyncIterator]().next()).value).toMatchObject([
      { path: 'f', size: 304 },
    ])
    await caller.close(fd)
  })

  it('shows inside at once what was changed outside', async () => {
    await using mounted = await open()
    await using caller = await startCaller(mounted.path)
    await caller.writeFile('f', 'inside')
    expect(await caller.readFile('f')).toBe('inside')
    async function* data() {
      yield Buffer.from('outside')
    }
    await mounted.view.write('f', 'sandbox', data(), {})
    expect(await caller.readFile('f')).toBe('outside')
    await mounted.view.write('f', 'sandbox', data(), { append: true })
    expect(await caller.readFile('f')).toBe('outsideoutside')
    await mounted.view.rename('f', 'g', 'sandbox')
    expect(await caller.readdir('.')).toEqual(['g'])
    await mounted.view.remove('g', 'sandbox', false)
    expect(await caller.errno('lstat', 'g')).toBe('ENOENT')
  })

  it('has new rules in force at the next call', async () => {
    await using mounted = await open()
    await using caller = await startCaller(mounted.path)
    await caller.writeFile('secret', 'seen')
    expect(await caller.readFile('secret')).toBe('seen')
    await mounted.view.setRules([
      { pattern: '**', type: 'glob', level: 'write' },
      { pattern: '/secret', type: 'file', level: 'none' },
    ])
    expect(await caller.errno('lstat', 'secret')).toBe('ENOENT')
    expect(await caller.errno('open', 'secret', 0)).toBe('ENOENT')
    expect(await caller.readdir('.')).toEqual([])
  })

  it('keeps what was not synced when it is unmounted', async () => {
    await using mounted = await open()
    {
      await using caller = await startCaller(mounted.path)
      await caller.writeFile('f', 'dirty')
    }
    await mounted.remount()
    expect(await read(mounted.view, 'f')).toBe('dirty')
  })
})
