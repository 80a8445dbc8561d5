/**
 * Whether the other side still answers. It is asked a few times within the time that it may be silent, and is stuck when
 * all of them went by unanswered; so a time in which this side was busy itself counts as one only.
 */
export interface Watch {
  /** Asks until `stop`. Does nothing where it is asking already. */
  start(): void
  heard(): void
  stop(): void
}

const QUESTIONS = 4

export function createWatch(silenceMaxMs: number, on: { ask(): void; isStuck(): void }): Watch {
  let timer: NodeJS.Timeout | null = null
  let unanswered = 0
  const watch: Watch = {
    start() {
      if (timer !== null) return
      unanswered = 0
      timer = setInterval(() => {
        if (unanswered === QUESTIONS) {
          watch.stop()
          on.isStuck()
          return
        }
        unanswered++
        on.ask()
      }, silenceMaxMs / QUESTIONS)
      timer.unref()
    },
    heard() {
      unanswered = 0
    },
    stop() {
      if (timer !== null) clearInterval(timer)
      timer = null
    },
  }
  return watch
}
