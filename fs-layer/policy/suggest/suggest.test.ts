import { describe, expect, it } from 'vitest'
import { MAX_RULES } from '../limits.ts'
import { compilePolicy } from '../policy.ts'
import { type Level, NONE, READ, type Rule, VIEW, WRITE } from '../rule.ts'
import type { PathUse } from './needs.ts'
import { joinPath, type Place } from './place.ts'
import { type Suggestion, suggest } from './suggest.ts'

const SECRETS: Rule = { pattern: '**/.env*/**', type: 'glob', level: 'none', priority: 100 }
const DEVELOPMENT: readonly Rule[] = [{ pattern: '**', type: 'glob', level: 'write' }, SECRETS]

const PROJECT = ['README.md', '.env', 'src/a.ts', 'src/b.ts', 'src/lib/c.ts', 'docs/x.md', 'docs/y.md', 'test/t.ts']

describe('suggested rules', () => {
  it('name the files that were read, those of one directory in one pattern', async () => {
    const uses = [looked('src'), read('src/a.ts'), read('src/b.ts'), looked('docs'), read('docs/x.md')]
    expect(await rulesFor(uses)).toEqual(['/src/{a.ts,b.ts}=read', '/docs/x.md=read', '/{src,docs}=view'])
  })

  it('are one for a directory of which all was used at one level, and deny in it what was denied by name', async () => {
    const uses = [looked('docs'), read('docs/x.md'), read('docs/y.md')]
    expect(await rulesFor(uses)).toEqual(['/docs/**=read', '**/.env*/**=none@100'])
  })

  it('are one for all names of a directory that was listed, and one for those that were used otherwise', async () => {
    const uses = [{ ...looked('src'), listed: true }, wrote('src/a.ts')]
    expect(await rulesFor(uses)).toEqual(['/src/*=view', '/src/a.ts=write', '/src=view', '**/.env*/**=none@100'])
  })

  it('allow what was made where it was made, with all below it', async () => {
    const uses = [looked('src'), madeDirectory('build'), wrote('build/out.js'), wrote('src/new.ts')]
    expect(await rulesFor(uses)).toEqual(['/src/new.ts=write', '/src=view', '/build/**=write', '**/.env*/**=none@100'])
  })

  it('allow any new name where one was made that did not stay, and speak of all that was there', async () => {
    const uses = [looked('src'), { ...wrote('src/sedXyz'), passing: true }, wrote('src/a.ts')]
    expect(await rulesFor(uses)).toEqual([
      '/src/b.ts=none',
      '/src/lib/**=none',
      '/src/**/*=write',
      '/src=view',
      '**/.env*/**=none@100',
    ])
  })

  it('do not deny what a run has shown to be allowed, though there was a rule against its name', async () => {
    const rules: Rule[] = [...DEVELOPMENT, { pattern: '.env', type: 'file', level: 'read', priority: 100 }]
    const { rules: suggested } = await suggestion(PROJECT, [read('.env'), madeDirectory('build')], rules)
    expect(compilePolicy(suggested).levelOf('.env')).toBe(READ)
    expect(compilePolicy(suggested).levelOf('src/a.ts')).toBe(NONE)
  })

  it('give a moved directory one level with all in it, at both places', async () => {
    const uses: PathUse[] = [
      { ...wrote('src/lib'), levelBelow: WRITE },
      { ...wrote('src/moved'), isDirectory: true, levelBelow: WRITE },
    ]
    const policy = compilePolicy((await suggestion(PROJECT, uses)).rules)
    expect(policy.levelOf('src/lib/c.ts')).toBe(WRITE)
    expect(policy.levelOf('src/moved/c.ts')).toBe(WRITE)
    expect(policy.levelOf('src/a.ts')).toBe(NONE)
  })

  it('are wider where the trail does not tell names apart, and say so', async () => {
    const unnamed = { ...use('src', NONE), isDirectory: true, levelBelow: READ as Level, unnamed: true }
    const { rules, excesses } = await suggestion(PROJECT, [looked('src'), unnamed])
    expect(compilePolicy(rules).levelOf('src/lib/c.ts')).toBe(READ)
    expect(excesses).toEqual([{ path: 'src', level: READ, reason: 'trail' }])
  })

  it('say that a name which is no UTF-8 may match another', async () => {
    const { rules, excesses } = await suggestion(['odd\xff\xfe', 'odd-2'], [read('odd\xff\xfe')])
    expect(rules.map(line)).toEqual(['/odd??=read'])
    expect(excesses).toEqual([{ path: 'odd\xff\xfe', level: READ, reason: 'name' }])
  })

  it('hold no control character that somebody put into a name', async () => {
    const { rules } = await suggestion(
      ['a\n--rule x=write', 'b\u001b[2J', 'other'],
      [read('a\n--rule x=write'), read('b\u001b[2J')],
    )
    expect(rules.map(line)).toEqual(['/{a?--rule x=write,b?\\[2J}=read'])
  })

  it('are coarser where exact ones would be more than a policy may have, as little as may be, and say where', async () => {
    const files = Array.from({ length: MAX_RULES + 1 }, (_, at) => `many/${at}/deep/used`)
    const unused = files.map((file) => `${file}-not`)
    const { rules, excesses } = await suggestion([...files, ...unused, '.env', 'apart'], files.map(read))
    const policy = compilePolicy(rules)
    for (const file of files) expect(policy.levelOf(file)).toBe(READ)
    expect(policy.levelOf('apart')).toBe(NONE)
    expect(policy.levelOf('many/x/.env')).toBe(NONE)
    expect(excesses.length).toBeGreaterThan(0)
    for (const { path, level, reason } of excesses) {
      expect({ level, reason }).toEqual({ level: READ, reason: 'size' })
      expect(path).toMatch(/^many/)
    }
  })

  it('that are coarse raise nothing above what it had', async () => {
    const files = Array.from({ length: MAX_RULES + 1 }, (_, at) => `many/${at}/deep/used`)
    const only: Rule[] = [...DEVELOPMENT, { pattern: 'many/*/deep/names', type: 'glob', level: 'view', priority: 1 }]
    const { rules } = await suggestion([...files, 'many/7/deep/names'], files.map(read), only)
    expect(compilePolicy(rules).levelOf('many/7/deep/names')).toBeLessThanOrEqual(VIEW)
  })
})

describe('what suggested rules refuse', () => {
  it('is told by directory, as a whole where nothing of it is left', async () => {
    const { losses } = await suggestion(PROJECT, [looked('src'), read('src/a.ts'), wrote('test/t.ts')])
    expect(losses).toEqual([
      { path: '', whole: false, before: WRITE, after: NONE, files: 1 },
      { path: 'src', whole: false, before: WRITE, after: READ, files: 1 },
      { path: 'src', whole: false, before: WRITE, after: NONE, files: 1 },
      { path: 'src/lib', whole: true, before: WRITE, after: NONE, files: 1 },
      { path: 'docs', whole: true, before: WRITE, after: NONE, files: 2 },
    ])
  })
})

async function rulesFor(uses: readonly PathUse[]): Promise<string[]> {
  const { rules, excesses } = await suggestion(PROJECT, uses)
  expect(excesses).toEqual([])
  return rules.map(line)
}

function suggestion(
  files: readonly string[],
  uses: readonly PathUse[],
  rules: readonly Rule[] = DEVELOPMENT,
): Promise<Suggestion> {
  return suggest({ root: placeOf('', files), uses, rules, pause: async () => undefined })
}

function line({ pattern, level, priority }: Rule): string {
  return `${pattern}=${level}${priority === undefined ? '' : `@${priority}`}`
}

function use(path: string, level: Level): PathUse {
  return { path, isDirectory: false, level, levelBelow: NONE, unnamed: false, listed: false, passing: false }
}

function looked(path: string): PathUse {
  return { ...use(path, VIEW), isDirectory: true }
}

function read(path: string): PathUse {
  return use(path, READ)
}

function wrote(path: string): PathUse {
  return use(path, WRITE)
}

function madeDirectory(path: string): PathUse {
  return { ...use(path, WRITE), isDirectory: true }
}

function placeOf(path: string, files: readonly string[]): Place {
  const names = [
    ...new Set(
      files
        .filter((file) => path === '' || file.startsWith(`${path}/`))
        .map((file) => file.slice(path === '' ? 0 : path.length + 1).split('/')[0] ?? ''),
    ),
  ]
  const isDirectory = !files.includes(path)
  const entries = isDirectory ? names.map((name) => placeOf(joinPath(path, name), files)) : []
  return { name: path.slice(path.lastIndexOf('/') + 1), isDirectory, isEmpty: false, entries: () => entries }
}
