import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { createLog } from './log.ts'

it.each(['json', 'text'] as const)(
  'a line as %s is one line without control characters, whatever it is about',
  (logFormat) => {
    const stream = new PassThrough()
    createLog({ logLevel: 'info', logFormat }, stream).info(
      { name: 'a\u001b[2J\nb\u009b2J' },
      'said\n\u001b[31m\u009b31m\u202e',
    )
    const text = String(stream.read())
    expect(text.endsWith('\n')).toBe(true)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
    expect(text).toContain('said')
  },
)
