import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePolicy, type Policy } from '../policy.ts'
import { type Level, NONE, READ, type Rule, VIEW, WRITE } from '../rule.ts'
import type { PathUse } from './needs.ts'
import { joinPath, type Place } from './place.ts'
import { suggest } from './suggest.ts'

describe('for any codebase, rules and run', () => {
  it('what was used is allowed again, and nothing of the codebase is allowed more', async () => {
    await fc.assert(
      fc.asyncProperty(anyTree, anyRules, anyPicks, async (tree, rules, picks) => {
        const before = compilePolicy(rules)
        const root = placeOf('', tree)
        const uses = usesOf(root, before, picks)
        const { rules: suggested, excesses } = await suggest({ root, uses, rules, pause: async () => undefined })
        expect(excesses).toEqual([])
        const after = compilePolicy(suggested)
        const needs = needsByPath(root, before, uses)
        for (const { path, level } of uses) {
          if (path === '') continue
          const isDirectory = placeAt(root, path)?.isDirectory ?? false
          const shows = isDirectory && level === VIEW && before.levelOf(path) === NONE
          if (!shows) expect([path, after.levelOf(path)]).toEqual([path, atLeast(after.levelOf(path), level)])
        }
        expectNoMore(root, after, needs)
      }),
      { numRuns: 500 },
    )
  })

  it('where a name was made that did not stay, another one may be made, but none that was denied by name', async () => {
    await fc.assert(
      fc.asyncProperty(anyTree, anyPicks, async (tree, picks) => {
        const rules = [rule('**', 'write'), rule('**/secret*/**', 'none', 100)]
        const root = placeOf('', tree)
        const directory = anyDirectory(root, picks)
        const passing = { ...useOf(joinPath(directory, 'tmp.1'), WRITE), passing: true }
        const uses = [...usesOf(root, compilePolicy(rules), picks), passing]
        const after = compilePolicy((await suggest({ root, uses, rules, pause: async () => undefined })).rules)
        expectNoMore(root, after, needsByPath(root, compilePolicy(rules), uses))
        expect(after.levelOf(joinPath(directory, 'tmp.2'))).toBe(WRITE)
        expect(after.levelOf(joinPath(directory, 'tmp.2/below'))).toBe(WRITE)
        expect(after.levelOf(joinPath(directory, 'secrets'))).toBe(NONE)
        expect(after.levelOf(joinPath(directory, 'secrets/below'))).toBe(NONE)
      }),
      { numRuns: 200 },
    )
  })
})

/** Reading a directory takes no more than seeing it. */
function expectNoMore(root: Place, after: Policy, needs: ReadonlyMap<string, Level>): void {
  for (const { path, isDirectory } of allOf(root)) {
    const need = needs.get(path) ?? NONE
    const most = isDirectory && need === VIEW ? READ : need
    expect([path, after.levelOf(path)]).toEqual([path, atMost(after.levelOf(path), most)])
  }
}

interface Tree {
  [name: string]: Tree | 'file' | 'empty'
}

/** Signs of patterns are names too. */
const anyName = fc.constantFrom('a', 'b', 'c', 'd', 'a*', '[b]', '{c,d}', 'e\\', '\u00c3\u00a9', '.x', 'secret')

const anyTree: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree; entry: Tree | 'file' | 'empty' }>((tie) => ({
  tree: fc.dictionary(anyName, tie('entry'), { maxKeys: 5, depthIdentifier: 'tree' }),
  entry: fc.oneof(
    { depthSize: 'medium', depthIdentifier: 'tree' },
    fc.constantFrom<'file' | 'empty'>('file', 'file', 'file', 'empty'),
    tie('tree'),
  ),
})).tree

const anyRules: fc.Arbitrary<Rule[]> = fc.array(
  fc.record({
    pattern: fc.constantFrom('**', '/a/**', '/a/b', '**/c/**', '**/secret*/**', '/*', '/b/*', '/a/*/c/**'),
    type: fc.constant('glob' as const),
    level: fc.constantFrom('none' as const, 'view' as const, 'read' as const, 'write' as const),
    priority: fc.constantFrom(0, 0, 1, 100),
  }),
  { maxLength: 5 },
)

/** Which paths are used, and how: numbers that choose among those that there are. */
const anyPicks = fc.array(
  fc.record({ at: fc.nat(), level: fc.constantFrom(VIEW, READ, READ, WRITE), how: fc.nat(9) }),
  {
    maxLength: 25,
  },
)

type Picks = readonly { at: number; level: Level; how: number }[]

function usesOf(root: Place, before: Policy, picks: Picks): PathUse[] {
  const paths = allOf(root)
  const uses: PathUse[] = []
  if (paths.length === 0) return uses
  const shown = (path: string, isDirectory: boolean) =>
    before.levelOf(path) >= VIEW ||
    (isDirectory && paths.some((each) => each.path.startsWith(`${path}/`) && before.levelOf(each.path) >= VIEW))
  for (const { at, level, how } of picks) {
    const { path, isDirectory } = paths[at % paths.length] as Listed
    if (!shown(path, isDirectory)) continue
    // A run looks at every directory on its way.
    const names = path.split('/')
    for (let end = 1; end < names.length; end++)
      uses.push({ ...useOf(names.slice(0, end).join('/'), VIEW), isDirectory: true })
    const most = before.levelOf(path)
    const used = (isDirectory && level === READ ? VIEW : level) <= most ? level : VIEW
    uses.push({
      ...useOf(path, isDirectory && used === READ ? VIEW : used),
      isDirectory,
      listed: isDirectory && how < 5,
    })
    if (isDirectory && how === 9) {
      const made = joinPath(path, 'made')
      if (before.levelOf(made) === WRITE) uses.push(useOf(made, WRITE))
    }
    if (how === 8) for (const listed of paths) if (isUnder(listed.path, path)) useIfAllowed(listed)
  }
  return uses

  function useIfAllowed({ path, isDirectory }: Listed): void {
    const level = before.levelOf(path)
    if (level >= VIEW) uses.push({ ...useOf(path, isDirectory ? VIEW : (Math.min(level, READ) as Level)), isDirectory })
  }
}

function useOf(path: string, level: Level): PathUse {
  return { path, isDirectory: false, level, levelBelow: NONE, unnamed: false, listed: false, passing: false }
}

/** As `needsOf` has it, but path by path. */
function needsByPath(root: Place, before: Policy, uses: readonly PathUse[]): Map<string, Level> {
  const needs = new Map<string, Level>()
  const raise = (path: string, level: Level) => needs.set(path, atLeast(needs.get(path) ?? NONE, level))
  for (const { path, level, listed } of uses) {
    raise(path, level)
    if (!listed) continue
    for (const { name } of placeAt(root, path)?.entries() ?? []) {
      if (before.levelOf(joinPath(path, name)) >= VIEW) raise(joinPath(path, name), VIEW)
    }
  }
  for (const { path, isEmpty } of allOf(root)) {
    if (isEmpty && needs.get(path) === VIEW && before.levelOf(path) >= READ) raise(path, READ)
  }
  return needs
}

interface Listed {
  readonly path: string
  readonly isDirectory: boolean
  readonly isEmpty: boolean
}

function allOf(place: Place, path = ''): Listed[] {
  return place.entries().flatMap((entry) => {
    const at = joinPath(path, entry.name)
    return [{ path: at, isDirectory: entry.isDirectory, isEmpty: entry.isEmpty }, ...allOf(entry, at)]
  })
}

function anyDirectory(root: Place, picks: Picks): string {
  const directories = [
    '',
    ...allOf(root).flatMap(({ path, isDirectory }) => (isDirectory && !/secret/.test(path) ? [path] : [])),
  ]
  return directories[(picks[0]?.at ?? 0) % directories.length] as string
}

function placeAt(root: Place, path: string): Place | undefined {
  return path
    .split('/')
    .reduce<Place | undefined>(
      (at, name) => (name === '' ? at : at?.entries().find((entry) => entry.name === name)),
      root,
    )
}

function placeOf(name: string, tree: Tree | 'file' | 'empty'): Place {
  const isDirectory = typeof tree === 'object'
  const entries = isDirectory ? Object.keys(tree).map((child) => placeOf(child, tree[child] as Tree)) : []
  return { name, isDirectory, isEmpty: tree === 'empty', entries: () => entries }
}

function isUnder(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`)
}

function atLeast(level: Level, least: Level): Level {
  return level >= least ? level : least
}

function atMost(level: Level, most: Level): Level {
  return level <= most ? level : most
}

function rule(pattern: string, level: Rule['level'], priority = 0): Rule {
  return { pattern, type: 'glob', level, priority }
}
