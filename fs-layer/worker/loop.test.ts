import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLoop, type LoopOptions } from './loop.ts'

describe('the loop', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'croft-loop-'))
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  it('serves a descriptor that becomes ready while it sleeps', async () => {
    using pipe = openPipe(dir, 'p')
    const watched = watchBytes(pipe.fd)
    setTimeout(() => writeSync(pipe.fd, 'a'), 1)
    await watched.received(1)
    watched.close()
  })

  it('lets timers, immediates, messages and disk reads through while it sleeps on a silent descriptor', async () => {
    using pipe = openPipe(dir, 'p')
    const watched = watchBytes(pipe.fd)
    const { port1, port2 } = new MessageChannel()
    for (let i = 0; i < 20; i++) {
      const message = new Promise((resolve) => port2.once('message', resolve))
      port1.postMessage(i)
      expect(await message).toBe(i)
      await new Promise((resolve) => setTimeout(resolve, 1))
      await new Promise((resolve) => setImmediate(resolve))
      await readFile('/proc/self/stat')
    }
    port1.close()
    watched.close()
  })

  it('delivers two messages that arrive at once, though it goes to sleep between them', async () => {
    using pipe = openPipe(dir, 'p')
    const watched = watchBytes(pipe.fd)
    for (let i = 0; i < 200; i++) {
      const channels = [new MessageChannel(), new MessageChannel(), new MessageChannel()]
      const all = channels.map(({ port2 }) => new Promise((resolve) => port2.once('message', resolve)))
      for (const { port1 } of channels) port1.postMessage(i)
      expect(await Promise.all(all)).toEqual([i, i, i])
      for (const { port1 } of channels) port1.close()
    }
    watched.close()
  })

  it('serves others while one has more than a burst waiting', async () => {
    using greedy = openPipe(dir, 'greedy')
    using modest = openPipe(dir, 'modest')
    const order: string[] = []
    const loop = createLoop({ maxBurst: 4 })
    writeSync(greedy.fd, 'g'.repeat(40))
    writeSync(modest.fd, 'm')
    await new Promise<void>((resolve) => {
      const watches = [greedy, modest].map((pipe, i) =>
        loop.watch(pipe.fd, {
          serveOne() {
            if (!readByte(pipe.fd)) return false
            order.push(i === 0 ? 'g' : 'm')
            if (order.length === 41) {
              for (const watch of watches) watch.close()
              resolve()
            }
            return true
          },
        }),
      )
    })
    expect(order.indexOf('m')).toBeLessThanOrEqual(4)
  })

  it('serves others after one request that took longer than a turn', async () => {
    using slow = openPipe(dir, 'slow')
    using quick = openPipe(dir, 'quick')
    const order: string[] = []
    const loop = createLoop()
    writeSync(slow.fd, 's'.repeat(20))
    writeSync(quick.fd, 'q'.repeat(5))
    await new Promise<void>((resolve) => {
      const watches = [slow, quick].map((pipe, i) =>
        loop.watch(pipe.fd, {
          serveOne() {
            if (!readByte(pipe.fd)) return false
            order.push(i === 0 ? 's' : 'q')
            if (i === 0) busyFor(1)
            if (order.length === 25) {
              for (const watch of watches) watch.close()
              resolve()
            }
            return true
          },
        }),
      )
    })
    expect(order.indexOf('q')).toBeLessThanOrEqual(1)
  })

  it('serves a source that wakes up while another never rests', async () => {
    using busy = openPipe(dir, 'busy')
    using late = openPipe(dir, 'late')
    const loop = createLoop()
    let turns = 0
    const served = await new Promise<boolean>((resolve) => {
      const watches = [
        loop.watch(busy.fd, {
          serveOne() {
            readByte(busy.fd)
            writeSync(busy.fd, 'b')
            if (++turns === 1000) writeSync(late.fd, 'l')
            if (turns === 20_000) finish(false)
            return true
          },
        }),
        loop.watch(late.fd, {
          serveOne() {
            if (readByte(late.fd)) finish(true)
            return false
          },
        }),
      ]
      writeSync(busy.fd, 'b')
      function finish(answer: boolean): void {
        for (const watch of watches) watch.close()
        resolve(answer)
      }
    })
    expect(served).toBe(true)
  })

  it('limits how deeply processors sleep while requests follow each other, and not after that', async () => {
    using pipe = openPipe(dir, 'p')
    const said: string[] = []
    let relaxed: () => void
    const rested = new Promise<void>((resolve) => {
      relaxed = resolve
    })
    const idleLatency = {
      limit: () => void said.push('limit'),
      unlimit: () => {
        said.push('unlimit')
        relaxed()
      },
    }
    const watched = watchBytes(pipe.fd, { idleLatency, attentiveMs: 20 })
    writeSync(pipe.fd, 'a')
    await watched.received(1)
    expect(said).toEqual([])
    writeSync(pipe.fd, 'bcd')
    await watched.received(4)
    await rested
    expect(said).toEqual(['limit', 'unlimit'])
    watched.close()
  })

  it('limits nothing any more once the last watch is closed', async () => {
    using pipe = openPipe(dir, 'p')
    const said: string[] = []
    const idleLatency = { limit: () => void said.push('limit'), unlimit: () => void said.push('unlimit') }
    const watched = watchBytes(pipe.fd, { idleLatency, attentiveMs: 60_000 })
    writeSync(pipe.fd, 'ab')
    await watched.received(2)
    watched.close()
    expect(said).toEqual(['limit', 'unlimit'])
  })

  it('reads nothing of a source that pauses, until it goes on', async () => {
    using paused = openPipe(dir, 'paused')
    using other = openPipe(dir, 'other')
    const loop = createLoop()
    let received = 0
    let resumed: () => void = () => undefined
    const watch = loop.watch(paused.fd, {
      serveOne() {
        if (!readByte(paused.fd)) return false
        received++
        watch.pause()
        resumed()
        return true
      },
    })
    const beside = loop.watch(other.fd, { serveOne: () => readByte(other.fd) })
    writeSync(paused.fd, 'abc')
    for (let wanted = 1; wanted <= 3; wanted++) {
      await new Promise<void>((resolve) => {
        resumed = resolve
        if (wanted > 1) watch.resume()
      })
      for (let i = 0; i < 5; i++) {
        writeSync(other.fd, 'x')
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      expect(received).toBe(wanted)
    }
    watch.close()
    beside.close()
  })

  it('calls nothing after a watch is closed, and can watch again', async () => {
    using pipe = openPipe(dir, 'p')
    const first = watchBytes(pipe.fd)
    first.close()
    first.close()
    writeSync(pipe.fd, 'a')
    const second = watchBytes(pipe.fd)
    await second.received(1)
    expect(first.count()).toBe(0)
    second.close()
  })
})

function watchBytes(fd: number, options?: LoopOptions) {
  let count = 0
  let wake: () => void = () => undefined
  const watch = createLoop(options).watch(fd, {
    serveOne() {
      if (!readByte(fd)) return false
      count++
      wake()
      return true
    },
  })
  return {
    close: () => watch.close(),
    count: () => count,
    async received(wanted: number) {
      while (count < wanted) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

function busyFor(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

/** A named pipe, opened for both directions, so that it never ends. */
function openPipe(dir: string, name: string): Disposable & { fd: number } {
  execFileSync('mkfifo', [join(dir, name)])
  const fd = openSync(join(dir, name), constants.O_RDWR | constants.O_NONBLOCK)
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

function readByte(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 1
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
    throw error
  }
}
