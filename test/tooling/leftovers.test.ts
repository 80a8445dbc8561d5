import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { needs } from '../needs.ts'

const script = fileURLToPath(new URL('../../.ci/leftovers.mjs', import.meta.url))

let work: string

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'croft-leftovers-'))
  await mkdir(join(work, 'tmp'))
  await mkdir(join(work, 'place'))
})

afterEach(() => rm(work, { recursive: true, force: true }))

function lookForLeftovers() {
  return execa('node', [script, work], { reject: false, stdin: 'ignore' })
}

describe('the search for leftovers', () => {
  test('finds nothing where nothing is left', async () => {
    expect(await lookForLeftovers()).toMatchObject({ exitCode: 0, stdout: '' })
  })

  test('finds a temporary file', async () => {
    await writeFile(join(work, 'tmp/forgotten'), '')
    const result = await lookForLeftovers()
    expect(result.exitCode).toBe(1)
    expect(result.stdout).toBe(`LEFT BEHIND  file     ${work}/tmp/forgotten`)
  })

  test('finds a process that stands there, and one whose environment points there', async () => {
    const standing = execa('cat', { cwd: join(work, 'place'), reject: false })
    const pointing = execa('cat', { env: { TMPDIR: join(work, 'tmp') }, reject: false })
    await Promise.all([once(standing, 'spawn'), once(pointing, 'spawn')])
    const result = await lookForLeftovers()
    standing.stdin.end()
    pointing.stdin.end()
    await Promise.all([standing, pointing])
    expect(result.exitCode).toBe(1)
    expect(result.stdout).toContain(`LEFT BEHIND  process  ${standing.pid} cat`)
    expect(result.stdout).toContain(`LEFT BEHIND  process  ${pointing.pid} cat`)
  })

  test('finds a mount, and a process in a mount namespace of its own that has one', async (context) => {
    await needs(context, 'root', 'fuse')
    const command = 'mount -t tmpfs none "$1/place" && echo mounted && exec cat'
    const inside = execa('unshare', ['--mount', 'sh', '-c', command, 'sh', work], { cwd: '/', reject: false })
    await once(inside.stdout, 'data')
    const outside = await lookForLeftovers()
    const seen = await execa('nsenter', ['--target', `${inside.pid}`, '--mount', 'node', script, work], {
      reject: false,
    })
    inside.stdin.end()
    await inside
    expect(outside.stdout).toBe(`LEFT BEHIND  process  ${inside.pid} cat `)
    expect(seen.stdout).toMatch(new RegExp(`^LEFT BEHIND {2}mount {4}.* ${work}/place `))
  })
})
