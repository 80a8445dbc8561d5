import type { Section } from './section.ts'

/** As text: the first column to the left, figures to the right. */
export function renderSection({ title, columns, rows, notes }: Section): string {
  const widths = columns.map((column, at) => Math.max(...[column, ...rows.map((row) => row[at] ?? '')].map(width)))
  const line = (cells: readonly string[]) =>
    columns
      .map((_, at) => pad(cells[at] ?? '', widths[at] ?? 0, at === 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((each) => '─'.repeat(each)).join('  ')
  return [title, '', line(columns), rule, ...rows.map(line), '', ...notes.map((note) => `  ${note}`)].join('\n')
}

function width(text: string): number {
  return Array.from(text).length
}

function pad(text: string, columns: number, left: boolean): string {
  const space = ' '.repeat(Math.max(0, columns - width(text)))
  return left ? text + space : space + text
}
