import koffi from 'koffi'

/**
 * Serves the descriptors of every mount of this thread, beside libuv and not instead of it.
 *
 * Waking a sleeping thread costs 100 µs and more, a request that finds us awake 16-20. So after a request we go on
 * looking for the next one for `spinUs`, by reads that do not block. That goes in turns of at most `turnUs`, each
 * followed by one round of libuv (`setImmediate`): messages from other threads, timers, finished disk writes and
 * microtasks wait no longer than a turn. When nothing has come for `spinUs`, libuv itself sleeps on the
 * descriptors, so an idle machine costs nothing.
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
  /** Nothing is called any more. `fd` must be closed after this, not before. */
  close(): void
}

export interface LoopOptions {
  /** How long to look for the next request before sleeping. Microseconds, default 200. 0 never spins. */
  readonly spinUs?: number
  /** The longest time that libuv waits while we serve or spin. Microseconds, default 50. */
  readonly turnUs?: number
  /** So many requests of one source before the others get their turn. Default 64. */
  readonly maxBurst?: number
}

export function createLoop(options: LoopOptions = {}): Loop {
  const spinMs = (options.spinUs ?? 200) / 1000
  const turnMs = (options.turnUs ?? 50) / 1000
  const maxBurst = options.maxBurst ?? 64
  /** Those that had a request within the last `spinMs`. */
  const hot = new Set<Watched>()
  let turnScheduled = false

  return {
    watch(fd, source) {
      const watched: Watched = { source, lastServedMs: 0, closed: false }
      // The callback comes from libuv without Node's frame around it: microtasks do not run after it by
      // themselves. The turn that it schedules makes up for that.
      const poll = koffi.node.poll(fd, { readable: true, disconnect: true }, () => {
        hot.add(watched)
        serveBurst(watched)
        scheduleTurn()
      })
      return {
        close() {
          if (watched.closed) return
          watched.closed = true
          hot.delete(watched)
          poll.close()
        },
      }
    },
  }

  function scheduleTurn(): void {
    if (turnScheduled) return
    turnScheduled = true
    setImmediate(turn)
  }

  function turn(): void {
    turnScheduled = false
    const endMs = performance.now() + turnMs
    do {
      for (const watched of hot) serveBurst(watched)
    } while (hot.size > 0 && performance.now() < endMs)
    if (hot.size > 0) scheduleTurn()
  }

  function serveBurst(watched: Watched): void {
    let served = 0
    while (served < maxBurst && !watched.closed && watched.source.serveOne()) served++
    const nowMs = performance.now()
    if (served > 0) watched.lastServedMs = nowMs
    else if (nowMs - watched.lastServedMs >= spinMs) hot.delete(watched)
  }
}

interface Watched {
  readonly source: Source
  lastServedMs: number
  closed: boolean
}
