import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../.ci/within.mjs', import.meta.url))

function within(seconds: number, ...command: string[]) {
  return execa('node', [script, String(seconds), ...command], { reject: false, stdin: 'ignore' })
}

async function stateOf(pid: string): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'x (gone) gone')
  return /\) (\S+)/.exec(stat)?.[1] ?? ''
}

describe('a step that may take so long and no longer', () => {
  test('ends as its command does', async () => {
    expect(await within(60, 'sh', '-c', 'echo done; exit 3')).toMatchObject({ exitCode: 3, stdout: 'done' })
  })

  test('a command that cannot be started is told', async () => {
    expect(await within(60, '/no/such/program')).toMatchObject({ exitCode: 127 })
  })

  test('what has not ended is told and ended, with what it has started and left', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'croft-within-'))
    try {
      const result = await within(
        1,
        'sh',
        '-c',
        `trap '' TERM; sh -c 'echo $$ > ${folder}/pid; exec sleep 1000' & wait; wait`,
      )
      const pid = (await readFile(join(folder, 'pid'), 'utf8')).trim()
      expect(result.exitCode).toBe(124)
      expect(result.stdout).toContain('has not ended after 1 s')
      expect(result.stdout).toContain(`  ${pid} S sleep`)
      // Whoever inherits it may not have reaped it yet.
      expect(await stateOf(pid)).toMatch(/^(gone|Z)$/)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
