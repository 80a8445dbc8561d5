import { performance } from 'node:perf_hooks'
import { MessageChannel } from 'node:worker_threads'
import { createEpoll, type Descriptors, type Epoll } from './epoll.ts'
import { currentEventLoop, type EventLoop } from './event-loop.ts'
import type { IdleLatency } from './idle-latency.ts'
import { yieldProcessor } from './processor.ts'

/**
 * Serves the descriptors of every mount of this thread, beside libuv.
 *
 * Waking a sleeping thread costs 100 µs and more, a request that finds us awake 10-20. So after a request we go on
 * looking for the next one for `spinUs`, by reads that do not block. That goes in turns of at most `turnUs`, each
 * followed by one round of libuv (`setImmediate`): messages from other threads, timers, finished disk writes and
 * microtasks wait no longer than a turn.
 *
 * Between two looks the processor is offered to others (sched_yield(2)): the program that has just been answered often
 * sits on the same one and would otherwise wait until we sleep, 220 µs for each request in place of 20. Where the offer
 * is taken up for more than `contendedUs` there are more threads than processors, and we sleep at once: a thread that
 * wakes up is preferred by the scheduler, one that has yielded is not.
 *
 * While requests follow each other within `attentiveMs`, idle processors are kept from sleeping deeply: whoever asked is
 * on one of them as often as we are.
 *
 * When nothing has come for `spinUs` the thread sleeps in an epoll of our own that holds the mounts and libuv's
 * epoll, until libuv's next timer. So whatever wakes libuv wakes us (a message, a terminated thread), an idle
 * machine costs nothing, and no handle of ours is in libuv: Node aborts the process when a thread is terminated
 * with a handle that it does not know (which is why this is not `uv_poll`).
 *
 * Where the sleep may begin, and why:
 * - After a round of libuv in which we served nothing: so every microtask has run, and every new handle is in
 *   libuv's epoll.
 * - Not in a callback of libuv's poll phase: all its messages share one eventfd, which it has emptied before it
 *   calls the first of them; those that come after us would wait until something else woke us.
 * - Not in an ordinary `setImmediate`: libuv then reports that it must not sleep.
 * So a message to ourselves ends the round, and from its callback an immediate that does not count as work comes
 * right after the poll phase.
 */
export interface Loop {
  /** Watches until `close`. `source.serveOne` is called whenever something may wait in `fd`, which does not block. */
  watch(fd: number, source: Source): Watch
}

export interface Source {
  /** Serves one request. False: none waits. Must not throw. */
  serveOne(): boolean
}

export interface Watch {
  /** `serveOne` is not called until `resume`, whatever waits. */
  pause(): void
  resume(): void
  /** Nothing is called any more. `fd` must be closed after this, not before. */
  close(): void
}

export interface LoopOptions {
  /** How long to look for the next request before sleeping. Microseconds, default 200. 0 never spins. */
  readonly spinUs?: number
  /** The longest time that libuv waits while we serve or spin. Microseconds, default 50. */
  readonly turnUs?: number
  /** Somebody who keeps the processor so long when it is offered needs it more than we do. Microseconds, default 30. */
  readonly contendedUs?: number
  /** How long after a request the next one is expected, and woken up for quickly. Milliseconds, default 3. */
  readonly attentiveMs?: number
  /** Default: processors sleep as they like. */
  readonly idleLatency?: IdleLatency
  /** So many requests of one source, or what it takes `turnUs` to serve, before the others get their turn. Default 64. */
  readonly maxBurst?: number
  /** Who closes its descriptor if this thread does not come to it. */
  readonly descriptors?: Descriptors
}

export function createLoop(options: LoopOptions = {}): Loop {
  const spinMs = (options.spinUs ?? 200) / 1000
  const turnMs = (options.turnUs ?? 50) / 1000
  const contendedMs = (options.contendedUs ?? 30) / 1000
  const attentiveMs = options.attentiveMs ?? 3
  const { idleLatency } = options
  const maxBurst = options.maxBurst ?? 64
  const watched = new Map<number, Watched>()
  /** Those that had a request within the last `spinMs`. */
  const hot = new Set<Watched>()
  let waiter: Waiter | null = null
  let lastServedMs = Number.NEGATIVE_INFINITY
  let attentive = false

  return {
    watch(fd, source) {
      waiter ??= startWaiter()
      waiter.epoll.add(fd)
      const entry: Watched = { source, lastServedMs: 0, idle: false }
      watched.set(fd, entry)
      let closed = false
      return {
        pause() {
          if (entry.idle) return
          entry.idle = true
          hot.delete(entry)
          waiter?.epoll.remove(fd)
        },
        resume() {
          if (closed || !entry.idle) return
          entry.idle = false
          waiter?.epoll.add(fd)
        },
        close() {
          if (closed) return
          this.pause()
          closed = true
          watched.delete(fd)
          if (watched.size === 0) stopWaiter()
        },
      }
    },
  }

  function startWaiter(): Waiter {
    const { port1, port2 } = new MessageChannel()
    const eventLoop = currentEventLoop()
    const epoll = createEpoll(options.descriptors)
    epoll.add(eventLoop.backendFd)
    port2.on('message', () => setImmediate(sleep).unref())
    const started = {
      epoll,
      eventLoop,
      requestSleep: () => port1.postMessage(null),
      close: () => port1.close(),
    }
    setImmediate(turn)
    return started
  }

  function stopWaiter(): void {
    relax()
    waiter?.epoll.close()
    waiter?.close()
    waiter = null
  }

  /** Serves and spins for one turn. */
  function turn(): void {
    if (waiter === null) return
    const endMs = performance.now() + turnMs
    // Those that woke up while others kept us busy: one that never rests must not keep them waiting.
    if (hot.size < watched.size) wakeReady(waiter, 0)
    for (let nowMs = 0; hot.size > 0 && nowMs < endMs; ) {
      let served = false
      for (const entry of hot) served = serveBurst(entry) || served
      nowMs = served ? performance.now() : giveWay()
    }
    if (waiter === null) return
    if (hot.size > 0) setImmediate(turn)
    else waiter.requestSleep()
  }

  function sleep(): void {
    if (waiter === null) return
    const untilTimerMs = waiter.eventLoop.timeoutMs()
    const attentiveForMs = attentive ? Math.ceil(lastServedMs + attentiveMs - performance.now()) : 0
    if (attentiveForMs <= 0) relax()
    wakeReady(waiter, attentive ? soonest(untilTimerMs, attentiveForMs) : untilTimerMs)
    setImmediate(turn)
  }

  function attend(nowMs: number, served: number): void {
    if (!attentive && (served > 1 || nowMs - lastServedMs < attentiveMs)) {
      attentive = true
      idleLatency?.limit()
    }
    lastServedMs = nowMs
  }

  function relax(): void {
    if (!attentive) return
    attentive = false
    idleLatency?.unlimit()
  }

  function wakeReady({ epoll }: Waiter, timeoutMs: number): void {
    for (const fd of epoll.wait(timeoutMs)) {
      const entry = watched.get(fd)
      if (entry === undefined || hot.has(entry)) continue
      hot.add(entry)
      serveBurst(entry)
    }
  }

  /** Returns the time. */
  function giveWay(): number {
    const beforeMs = performance.now()
    yieldProcessor()
    const afterMs = performance.now()
    if (afterMs - beforeMs > contendedMs) hot.clear()
    return afterMs
  }

  /** Returns whether there was anything to serve. */
  function serveBurst(entry: Watched): boolean {
    let served = 0
    let nowMs = performance.now()
    // By time too: 64 writes of 1 MiB would keep the others waiting for 20 ms and more.
    const endMs = nowMs + turnMs
    while (served < maxBurst && nowMs < endMs && !entry.idle && entry.source.serveOne()) {
      served++
      nowMs = performance.now()
    }
    if (served > 0) {
      entry.lastServedMs = nowMs
      attend(nowMs, served)
    } else if (nowMs - entry.lastServedMs >= spinMs) hot.delete(entry)
    return served > 0
  }
}

/** Of two times to wait, of which the first may be without end (-1). */
function soonest(timeoutMs: number, otherMs: number): number {
  return timeoutMs < 0 ? otherMs : Math.min(timeoutMs, otherMs)
}

interface Watched {
  readonly source: Source
  lastServedMs: number
  /** Paused, or closed. */
  idle: boolean
}

interface Waiter {
  readonly epoll: Epoll
  readonly eventLoop: EventLoop
  requestSleep(): void
  close(): void
}
