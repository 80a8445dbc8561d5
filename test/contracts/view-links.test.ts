import { beforeEach, expect, it } from 'vitest'
import { LINKS_MAX } from '../../fs-layer/delta/limits.ts'
import { startCaller } from '../fixtures/caller/caller.ts'
import { mountedView } from '../fixtures/mounted-view.ts'
import { needs } from '../needs.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

it(`a file has ${LINKS_MAX} names, as on ext4, and one more is EMLINK`, { timeout: 120_000 }, async () => {
  await using mounted = await mountedView()
  await using caller = await startCaller(mounted.path)
  await caller.writeFile('file', 'many names')
  const links = Array.from({ length: LINKS_MAX - 1 }, (_, at) => ['link', 'file', `link${at}`] as const)
  const answers = await caller.each(links)
  expect(answers.filter((answer) => 'errno' in answer)).toEqual([])
  expect((await caller.lstat('file')).nlink).toBe(LINKS_MAX)
  expect(await caller.errno('link', 'file', 'one-too-many')).toBe('EMLINK')
  await caller.unlink('link0')
  await caller.link('file', 'in-its-place')
})
