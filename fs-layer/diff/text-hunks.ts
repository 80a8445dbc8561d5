import { structuredPatch } from 'diff'
import { CONTEXT_LINES, EDIT_WORK_MAX, EDITS_MAX } from './limits.ts'

/** The hunks of a unified patch that makes one text of another; byte strings, so that any encoding comes out as it was. */
export function textHunks(before: string, after: string): string {
  const maxEditLength = Math.min(EDITS_MAX, Math.floor(EDIT_WORK_MAX / (linesOf(before) + linesOf(after))))
  const options = { context: CONTEXT_LINES, maxEditLength }
  const patch = structuredPatch('', '', before, after, undefined, undefined, options)
  if (patch === undefined) return replaced(before, after)
  return patch.hunks
    .map(({ oldStart, oldLines, newStart, newLines, lines }) => {
      const header = `@@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@\n`
      return `${header}${lines.join('\n')}\n`
    })
    .join('')
}

function linesOf(text: string): number {
  let lines = 1
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

/** For texts that have too little in common: what was goes, what is comes. */
function replaced(before: string, after: string): string {
  const [gone, come] = [marked('-', before), marked('+', after)]
  return `@@ -${range(1, gone.count)} +${range(1, come.count)} @@\n${gone.lines}${come.lines}`
}

function marked(mark: string, text: string): { lines: string; count: number } {
  if (text === '') return { lines: '', count: 0 }
  const ends = text.endsWith('\n')
  const lines = (ends ? text.slice(0, -1) : text).split('\n')
  const last = ends ? '' : '\\ No newline at end of file\n'
  return { lines: `${lines.map((line) => `${mark}${line}\n`).join('')}${last}`, count: lines.length }
}

/** A range of no lines is told by the line before it. */
function range(start: number, count: number): string {
  if (count === 0) return `${start - 1},0`
  return count === 1 ? `${start}` : `${start},${count}`
}
