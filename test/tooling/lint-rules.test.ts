import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// A linter that reports nothing looks the same as clean code. So each rule that the house relies on is shown an
// offender, under the real configuration.

const repository = fileURLToPath(new URL('../..', import.meta.url))

const folders = ['proto', 'fs-layer', 'runtimes', 'server', 'sdk', 'test'] as const
type Folder = (typeof folders)[number]

const mayImport: Record<Folder, readonly Folder[]> = {
  proto: [],
  'fs-layer': [],
  runtimes: [],
  server: ['proto', 'fs-layer', 'runtimes'],
  sdk: ['proto'],
  test: ['proto', 'fs-layer', 'runtimes', 'server', 'sdk'],
}

const arrows = folders.flatMap((from) =>
  folders.filter((to) => to !== from).map((to) => ({ from, to, allowed: mayImport[from].includes(to) })),
)

const forms = {
  import: (target: string) => `import { thing } from '${target}'\n\nexport const used = thing\n`,
  type: (target: string) => `import type { Thing } from '${target}'\n\nexport type Used = Thing\n`,
  export: (target: string) => `export { thing } from '${target}'\n`,
  dynamic: (target: string) => `export const used = await import('${target}')\n`,
}

const offenders = {
  'suspicious/noImportCycles': {
    'server/one.ts': "import { two } from './two.ts'\n\nexport const one = (): number => two()\n",
    'server/two.ts': "import { one } from './one.ts'\n\nexport const two = (): number => one()\n",
  },
  'nursery/noFloatingPromises': {
    'server/floating.ts': 'async function work(): Promise<void> {}\n\nexport function start() {\n  work()\n}\n',
  },
  'style/noEnum': { 'server/enum.ts': 'export enum Colour {\n  Red,\n}\n' },
  'suspicious/noConstEnum': { 'server/const-enum.ts': 'export const enum Colour {\n  Red,\n}\n' },
  'style/noNamespace': { 'server/namespace.ts': 'export namespace House {\n  export const rooms = 1\n}\n' },
  'style/noParameterProperties': {
    'server/parameter-property.ts': 'export class Box {\n  constructor(readonly size: number) {}\n}\n',
  },
  'suspicious/noEmptyBlockStatements': {
    'server/swallow.ts': 'export function quiet(work: () => void) {\n  try {\n    work()\n  } catch {}\n}\n',
  },
  'suspicious/noExplicitAny': { 'server/any.ts': 'export const anything: any = 1\n' },
  'suspicious/noConsole': { 'server/console.ts': "console.log('hello')\n" },
  'suspicious/noFocusedTests': { 'server/focused.test.ts': "test.only('one', () => {})\n" },
  'suspicious/noSkippedTests': { 'server/skipped.test.ts': "test.skip('one', () => {})\n" },
  'style/noDefaultExport': { 'server/default.ts': 'export default 1\n' },
  'correctness/useImportExtensions': {
    'server/extension.ts': "import { thing } from './thing'\n\nexport const used = thing\n",
  },
  'correctness/noUnusedVariables': { 'server/unused.ts': 'const left = 1\n' },
  'style/noExcessiveLinesPerFile': { 'server/long.ts': 'export {}\n'.repeat(401) },
} satisfies Record<string, Record<string, string>>

let project: string
let found: Set<string>

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'croft-lint-'))
  const config = JSON.parse(await readFile(join(repository, '.biome.json'), 'utf8'))
  await put('.biome.json', JSON.stringify({ ...config, vcs: { enabled: false } }))
  for (const folder of folders)
    await put(`${folder}/thing.ts`, 'export const thing = 1\n\nexport type Thing = number\n')
  for (const { from, to } of arrows) {
    for (const [form, text] of Object.entries(forms)) {
      await put(`${from}/${form}-${to}.ts`, text(`../${to}/thing.ts`))
      await put(`${from}/deep/deeper/${form}-${to}.ts`, text(`../../../${to}/thing.ts`))
    }
  }
  for (const files of Object.values(offenders)) {
    for (const [path, text] of Object.entries(files)) await put(path, text)
  }
  const biome = join(repository, 'node_modules', '.bin', 'biome')
  const result = await execa(biome, ['lint', '--reporter=json', '--max-diagnostics=none', '.'], {
    cwd: project,
    reject: false,
    stdin: 'ignore',
  })
  const report: { diagnostics: { category: string; location: { path: string } }[] } = JSON.parse(result.stdout)
  found = new Set(report.diagnostics.map((each) => `${each.category} ${each.location.path}`))
})

afterAll(() => rm(project, { recursive: true, force: true }))

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(project, path)), { recursive: true })
  await writeFile(join(project, path), text)
}

describe('the linter', () => {
  test.each(arrows.filter((arrow) => !arrow.allowed))('refuses an import of $to in $from, in every form', (arrow) => {
    for (const path of pathsOf(arrow)) expect(found).toContain(`lint/style/noRestrictedImports ${path}`)
  })

  test.each(arrows.filter((arrow) => arrow.allowed))('allows an import of $to in $from', (arrow) => {
    for (const path of pathsOf(arrow)) expect(found).not.toContain(`lint/style/noRestrictedImports ${path}`)
  })

  test.each(Object.entries(offenders))('reports %s', (rule, files) => {
    for (const path of Object.keys(files)) expect(found).toContain(`lint/${rule} ${path}`)
  })
})

function pathsOf({ from, to }: { from: Folder; to: Folder }): string[] {
  return Object.keys(forms).flatMap((form) => [`${from}/${form}-${to}.ts`, `${from}/deep/deeper/${form}-${to}.ts`])
}
