import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { rotatedFiles } from './files.ts'
import { type Head, readLine } from './line.ts'

export interface Verified {
  readonly lines: number
  /** Of the oldest line that is there: more than 1 where older files were removed. */
  readonly first: number
  readonly head: Head | undefined
  /** The first line that is not what the chain says. */
  readonly problem?: { readonly file: string; readonly line: number; readonly what: string }
  /** The last line has no end, as a crash leaves it. */
  readonly torn: boolean
}

/** A log with all of its earlier files, line by line. */
export async function verifyAudit(file: string): Promise<Verified> {
  const files = [...rotatedFiles(file), ...(existsSync(file) ? [file] : [])]
  let lines = 0
  let first = 0
  let head: Head | undefined
  for (const [index, each] of files.entries()) {
    let number = 0
    for await (const { text, isWhole } of linesOf(each)) {
      number += 1
      const isLast = index === files.length - 1 && !isWhole
      if (isLast) return { lines, first, head, torn: true }
      const read = readLine(text)
      const what = typeof read === 'string' ? read : whyNotAfter(head, read)
      if (what !== undefined) return { lines, first, head, torn: false, problem: { file: each, line: number, what } }
      head = (read as { head: Head }).head
      first ||= head.n
      lines += 1
    }
  }
  return { lines, first, head, torn: false }
}

function whyNotAfter(before: Head | undefined, { head, prev }: { head: Head; prev: string }): string | undefined {
  if (before === undefined) return head.n === 1 && !/^0{64}$/.test(prev) ? 'it is the first, and is not' : undefined
  if (head.n !== before.n + 1) return `it is line ${head.n} of the chain, and follows line ${before.n}`
  return prev === before.hash ? undefined : 'the line before is another one than it says'
}

async function* linesOf(file: string): AsyncGenerator<{ text: string; isWhole: boolean }> {
  const stream = createReadStream(file, 'utf8')
  let last = ''
  stream.on('data', (data) => {
    last = String(data).slice(-1)
  })
  let held: string | undefined
  for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (held !== undefined) yield { text: held, isWhole: true }
    held = text
  }
  if (held !== undefined) yield { text: held, isWhole: last === '\n' }
}
