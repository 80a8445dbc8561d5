/**
 * One line a step: while it runs on a terminal, what it is at; when it is done, how long it took.
 *
 * @template T
 * @param {string} title
 * @param {(tell: (detail: string) => void) => Promise<T>} work
 * @param {(result: T) => boolean} [isGood] Where a failure is a result and not an error.
 * @returns {Promise<T>}
 */
export async function showStep(title, work, isGood = () => true) {
  const startedMs = performance.now()
  let detail = ''
  let frame = 0
  const isTerminal = process.stdout.isTTY === true
  const draw = () => {
    if (!isTerminal) {
      process.stdout.write(`  … ${title}: still at work after ${duration(performance.now() - startedMs)}\n`)
      return
    }
    const text = `${spinner[frame++ % spinner.length]} ${title} ${duration(performance.now() - startedMs)} ${detail}`
    process.stdout.write(`\r\x1b[K${text.slice(0, (process.stdout.columns || 80) - 1)}`)
  }
  const timer = setInterval(draw, isTerminal ? 100 : 20_000)
  let mark = '✗'
  try {
    const result = await work((next) => {
      detail = next.trim()
    })
    if (isGood(result)) mark = '✓'
    return result
  } finally {
    clearInterval(timer)
    process.stdout.write(
      `${isTerminal ? '\r\x1b[K' : ''}${mark} ${title} (${duration(performance.now() - startedMs)})\n`,
    )
  }
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

const spinner = ['|', '/', '-', '\\']
