/** The known word that was probably meant; `undefined` where none is alike. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.ceil(word.length / 3)) + 1
  for (const each of known) {
    const distance = editsBetween(word.toLowerCase(), each.toLowerCase())
    if (distance < least) {
      best = each
      least = distance
    }
  }
  return best
}

/** How a refusal goes on: ` (did you mean …?)`, or not at all. */
export function meant(word: string, known: readonly string[], quote = (text: string) => `\`${text}\``): string {
  const found = nearest(word, known)
  return found === undefined ? '' : ` (did you mean ${quote(found)}?)`
}

/** Letters to put in, leave out or replace, row by row. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
