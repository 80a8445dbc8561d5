import { describe, expect, test } from 'vitest'
import { documentBlocks, printedOtherwise } from './blocks.ts'

const fence = '```'

describe('the blocks of a document', () => {
  test('are found with their language, their line and what follows them', () => {
    const text = `# Title\n\n${fence}sh\necho one\necho two\n${fence}\n\n${fence}text\none\n…\n${fence}\n\n${fence}ts\nf()\n${fence}\n`
    expect(documentBlocks(text)).toEqual([
      { language: 'sh', code: 'echo one\necho two', line: 4, needs: [], prints: 'one\n…' },
      { language: 'ts', code: 'f()', line: 14, needs: [] },
    ])
  })

  test('leave out a text that follows words', () => {
    expect(documentBlocks(`${fence}sh\ntrue\n${fence}\nwords\n${fence}text\na picture\n${fence}`)).toEqual([
      { language: 'sh', code: 'true', line: 2, needs: [] },
    ])
  })

  test('say what they need, and why they are not run', () => {
    const text = `<!-- needs: git, npm -->\n${fence}sh\na\n${fence}\n<!-- not run: it ends the machine -->\n${fence}sh\nb\n${fence}`
    expect(documentBlocks(text)).toMatchObject([{ needs: ['git', 'npm'] }, { notRun: 'it ends the machine' }])
  })

  test('have an end', () => {
    expect(() => documentBlocks(`${fence}sh\ntrue`)).toThrow('line 1')
  })
})

describe('what a block prints', () => {
  const block = { language: 'sh', code: '', line: 1, needs: [], prints: 'id …\n(done)' }

  test('is what the document says, with anything for …', () => {
    expect(printedOtherwise(block, 'id sb_1\n(done)\n')).toBeUndefined()
  })

  test('is told where it is something else', () => {
    expect(printedOtherwise(block, 'id sb_1\n(done) and more')).toContain('(done) and more')
  })
})
