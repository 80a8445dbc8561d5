import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Opcode } from '../../../fs-layer/protocol/constants.ts'
import { needs } from '../../needs.ts'
import { startServer } from './server-process.ts'

const isMounted = (target: string) => fs.readFileSync('/proc/mounts', 'utf8').includes(` ${target} `)

describe('a mount by the kernel device', () => {
  let scratch: string
  beforeEach(() => {
    scratch = fs.mkdtempSync(join(tmpdir(), 'croft-mount-'))
  })
  afterEach(() => fs.rmSync(scratch, { recursive: true }))

  it('shows its name and kind in the mount table, and is gone after unmount', async () => {
    await using server = await startServer({ device: 'kernel', options: { name: 'sb_0123' } })
    const line = fs
      .readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((entry) => entry.includes(server.target))
    expect(line).toMatch(/^sb_0123 \S+ fuse\.croft rw,nosuid,nodev/)
    await server.ask({ do: 'unmount' })
    expect(isMounted(server.target)).toBe(false)
    expect(fs.readdirSync(server.target)).toEqual([])
  })

  it('is refused on a directory that is not empty, on a link, on a file and on nothing', async () => {
    fs.mkdirSync(join(scratch, 'full', 'x'), { recursive: true })
    fs.mkdirSync(join(scratch, 'empty'))
    fs.symlinkSync('empty', join(scratch, 'link'))
    fs.writeFileSync(join(scratch, 'file'), '')
    for (const [name, reason] of [
      ['full', /is not empty/],
      ['link', /is not a directory/],
      ['file', /is not a directory/],
      ['nothing', /ENOENT/],
    ] as const) {
      const target = join(scratch, name)
      await using server = await startServer({ device: 'kernel', target, mount: false })
      await expect(server.ask({ do: 'mount' })).rejects.toMatchObject({
        code: 'TARGET_UNFIT',
        message: expect.stringMatching(reason),
      })
      expect(isMounted(target)).toBe(false)
    }
  })

  it('ends for those who still hold a file when it is unmounted', async () => {
    await using server = await startServer({ device: 'kernel', options: { lingerMs: 0 } })
    fs.writeFileSync(join(server.target, 'held'), 'x')
    const fd = fs.openSync(join(server.target, 'held'), 'r')
    await server.ask({ do: 'unmount' })
    expect(() => fs.fsyncSync(fd)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }))
    fs.closeSync(fd)
  })

  it('of fuse-native ends for them too', async (context) => {
    await needs(context, 'fuse-native')
    await using server = await startServer({ device: 'fuse-native' })
    fs.writeFileSync(join(server.target, 'held'), 'x')
    const fd = fs.openSync(join(server.target, 'held'), 'r+')
    await server.ask({ do: 'unmount' })
    expect(() => fs.fstatSync(fd)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }))
    fs.closeSync(fd)
  })

  it('says that it has ended when somebody else unmounts it', async () => {
    await using server = await startServer({ device: 'kernel' })
    const ended = server.ask({ do: 'awaitEnd' })
    execFileSync('umount', [server.target])
    await ended
    expect(isMounted(server.target)).toBe(false)
  })

  for (const [end, title] of [
    ['terminate', 'its thread was terminated'],
    ['kill', 'its process was killed'],
  ] as const) {
    it(`answers ENOTCONN when ${title}, and detaches cleanly`, async () => {
      const target = join(scratch, end)
      fs.mkdirSync(target)
      await using server = await startServer({ device: 'kernel', target })
      fs.writeFileSync(join(target, 'f'), 'x')
      await (end === 'kill' ? server.kill() : server.ask({ do: 'terminate' }))
      expect(() => fs.statSync(join(target, 'f'))).toThrow(expect.objectContaining({ code: 'ENOTCONN' }))
      execFileSync('umount', [target])
      fs.rmdirSync(target)
    })
  }

  it('opens what is known without a request when opens are not asked for', async () => {
    await using server = await startServer({ device: 'kernel', options: { opens: 'none' } })
    const file = join(server.target, 'f')
    fs.writeFileSync(file, 'first')
    fs.chmodSync(file, 0o600)
    expect(fs.readFileSync(file, 'utf8')).toBe('first')
    // The handle that made the file is let go of in the background, sooner or later.
    const counts = async () => ((await server.ask({ do: 'counts' })) as number[]).with(Opcode.RELEASE, 0)
    const before = await counts()
    expect(before[Opcode.OPEN]).toBeLessThanOrEqual(1)
    fs.closeSync(fs.openSync(file, 'r'))
    expect(await counts()).toEqual(before)
    const fd = fs.openSync(join(server.target, 'read-only'), 'wx', 0o400)
    fs.writeSync(fd, 'by the handle that made it')
    fs.closeSync(fd)
    fs.unlinkSync(file)
    expect(() => fs.openSync(file, 'r')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
  })

  it('gathers writes in the kernel with the write-back cache, and fsync brings them', async () => {
    await using server = await startServer({ device: 'kernel', options: { writeback: true } })
    const fd = fs.openSync(join(server.target, 'f'), 'w+')
    for (let i = 0; i < 100; i++) fs.writeSync(fd, 'x'.repeat(10))
    fs.fsyncSync(fd)
    const counts = (await server.ask({ do: 'counts' })) as number[]
    expect(counts[Opcode.WRITE]).toBe(1)
    expect(fs.fstatSync(fd).size).toBe(1000)
    fs.closeSync(fd)
  })

  it('keeps writes that were not synced when it is unmounted with a write-back cache', async () => {
    await using server = await startServer({ device: 'kernel', options: { writeback: true } })
    fs.writeFileSync(join(server.target, 'f'), 'dirty')
    await server.ask({ do: 'unmount' })
    await server.ask({ do: 'mount' })
    expect(fs.readFileSync(join(server.target, 'f'), 'utf8')).toBe('dirty')
  })

  it('reads and writes a passthrough file without a request, by every open at once', async () => {
    const path = join(scratch, 'backing')
    fs.writeFileSync(path, 'behind the mount')
    await using server = await startServer({
      device: 'kernel',
      passthrough: { name: 'f', path, sizeBytes: 16 },
    })
    const file = join(server.target, 'f')
    const first = fs.openSync(file, 'r+')
    const second = fs.openSync(file, 'r')
    expect(fs.readFileSync(second, 'utf8')).toBe('behind the mount')
    fs.writeSync(first, 'BEHIND', 0)
    fs.closeSync(first)
    fs.closeSync(second)
    expect(fs.readFileSync(path, 'utf8')).toBe('BEHIND the mount')
    const counts = (await server.ask({ do: 'counts' })) as number[]
    expect([counts[Opcode.READ], counts[Opcode.WRITE], counts[Opcode.OPEN]]).toEqual([0, 0, 2])
  })

  it('serves many mounts of one thread, each its own', async () => {
    await using one = await startServer({ device: 'kernel' })
    await using two = await startServer({ device: 'kernel' })
    fs.writeFileSync(join(one.target, 'f'), 'one')
    expect(fs.existsSync(join(two.target, 'f'))).toBe(false)
  })
})

describe('a mount over a stream', () => {
  beforeEach((context) => needs(context, 'root', 'fuse'))

  it('goes with its far side when it is unmounted, and ends for those who still hold a file', async () => {
    await using server = await startServer({ device: 'stream' })
    fs.writeFileSync(join(server.target, 'held'), 'x')
    const fd = fs.openSync(join(server.target, 'held'), 'r')
    await server.ask({ do: 'unmount' })
    await server.pump?.ended
    expect(isMounted(server.target)).toBe(false)
    expect(() => fs.fsyncSync(fd)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }))
    fs.closeSync(fd)
  })

  for (const end of ['terminate', 'kill'] as const) {
    it(`goes when ${end === 'kill' ? 'the process that serves it was killed' : 'its thread was terminated'}`, async () => {
      await using server = await startServer({ device: 'stream' })
      fs.writeFileSync(join(server.target, 'f'), 'x')
      await (end === 'kill' ? server.kill() : server.ask({ do: 'terminate' }))
      await server.pump?.ended
      expect(isMounted(server.target)).toBe(false)
    })
  }

  it('says that it has ended when its far side was killed', async () => {
    await using server = await startServer({ device: 'stream' })
    const ended = server.ask({ do: 'awaitEnd' })
    await server.pump?.kill()
    await ended
    expect(() => fs.statSync(server.target)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }))
    execFileSync('umount', [server.target])
  })

  it('gathers writes in the far kernel, and fsync brings them', async () => {
    await using server = await startServer({ device: 'stream', options: { writeback: true } })
    const fd = fs.openSync(join(server.target, 'f'), 'w+')
    for (let i = 0; i < 100; i++) fs.writeSync(fd, 'x'.repeat(10))
    fs.fsyncSync(fd)
    expect(((await server.ask({ do: 'counts' })) as number[])[Opcode.WRITE]).toBe(1)
    fs.closeSync(fd)
  })
})
