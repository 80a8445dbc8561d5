import type { Need } from '../../probes.ts'

/** A piece of code in a Markdown document, and what the document says about it. */
export interface Block {
  readonly language: string
  readonly code: string
  /** Of its first line in the document. */
  readonly line: number
  /** From a block of `text` directly after it: what it prints. `…` stands for anything. */
  readonly prints?: string
  /** From `<!-- not run: WHY -->` on the line before it. */
  readonly notRun?: string
  /** From `<!-- needs: NEED, NEED -->` on the line before it. */
  readonly needs: readonly Need[]
}

/** The blocks of a document in its order. A block of `text` that follows no other is a picture, and left out. */
export function documentBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  const lines = markdown.split('\n')
  let remark: string | undefined
  let follows = false
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const language = /^```(\w*)/.exec(line)?.[1]
    if (language === undefined) {
      if (line.trim() === '') continue
      remark = /^<!-- (.*) -->$/.exec(line)?.[1]
      follows = false
      continue
    }
    const end = lines.indexOf('```', at + 1)
    if (end < 0) throw new Error(`the block that begins in line ${at + 1} has no end`)
    const code = lines.slice(at + 1, end).join('\n')
    const before = blocks.at(-1)
    if (language !== 'text') blocks.push({ language, code, line: at + 2, ...remarked(remark) })
    else if (follows && before !== undefined) blocks[blocks.length - 1] = { ...before, prints: code }
    follows = language !== 'text'
    remark = undefined
    at = end
  }
  return blocks
}

function remarked(remark: string | undefined): Pick<Block, 'needs' | 'notRun'> {
  const notRun = remark?.match(/^not run: (.+)$/)?.[1]
  const needed = remark?.match(/^needs: (.+)$/)?.[1]
  return {
    needs: needed === undefined ? [] : (needed.split(', ') as Need[]),
    ...(notRun === undefined ? {} : { notRun }),
  }
}

/** Where the output is not what the document says: both, for people. */
export function printedOtherwise(block: Block, output: string): string | undefined {
  if (block.prints === undefined) return undefined
  const pattern = block.prints.split('…').map(escaped).join('[^]*?')
  if (new RegExp(`^${pattern}$`).test(output.trim())) return undefined
  return `line ${block.line} says that this is printed:\n${block.prints}\nbut it was:\n${output}`
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
