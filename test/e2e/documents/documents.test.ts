import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type PrivateUser, privateUser } from '../../fixtures/private-user.ts'
import { needs } from '../../needs.ts'
import { documentBlocks, printedOtherwise } from './blocks.ts'
import { moduleOf, type Program, programsOf } from './programs.ts'
import { documentProject } from './project.ts'

// What a document shows is what a reader will type. So it is typed here, in a project like a reader's.

const repository = join(import.meta.dirname, '../../..')
const guide = join(repository, 'docs/guide')
const paths = [join(repository, 'README.md'), ...readdirSync(guide).map((name) => join(guide, name))]
const documents = paths.map((path) => ({
  name: basename(path, '.md'),
  blocks: documentBlocks(readFileSync(path, 'utf8')),
}))

const beside = new Set(
  documents.filter(({ blocks }) => blocks.some(({ code }) => code.includes('./project'))).map(({ name }) => name),
)

/** Below the repository, for there `croft` is the package itself. */
const modules = join(repository, 'dist/documents')
let user: PrivateUser
let work: string
let typeErrors: string[]

beforeAll(async () => {
  user = privateUser()
  work = mkdtempSync(join(tmpdir(), 'croft-documents-'))
  const bin = join(work, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'croft'), `#!/bin/sh\nexec node ${repository}/dist/sdk/cli/main.js "$@"\n`, { mode: 0o755 })
  user.env['PATH'] = `${bin}:${user.env['PATH']}`
  typeErrors = await compileModules()
})

afterAll(async () => {
  await user[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
  rmSync(modules, { recursive: true, force: true })
})

async function compileModules(): Promise<string[]> {
  mkdirSync(modules, { recursive: true })
  for (const { name, blocks } of documents) {
    for (const program of programsOf(blocks)) {
      if (program.language === 'ts') writeFileSync(`${moduleFile(name, program)}.ts`, moduleOf(program))
    }
  }
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: { rootDir: '.', outDir: '.', incremental: false, tsBuildInfoFile: null, declaration: false },
    include: ['*.ts'],
    exclude: [],
  }
  writeFileSync(join(modules, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(repository, 'node_modules/.bin/tsc')
  const result = await execa(tsc, ['-p', '.', '--pretty', 'false'], { cwd: modules, reject: false, lines: true })
  return result.stdout
}

function moduleFile(name: string, program: Program): string {
  return join(modules, `${name}-${program.blocks[0]?.line}`)
}

describe.each(documents)('$name', ({ name, blocks }) => {
  beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'node-inside', 'git'))

  let project: string
  beforeAll(async () => {
    // Where a document speaks of ./project, its reader stands beside it.
    project = join(work, name)
    await documentProject(beside.has(name) ? join(project, 'project') : project)
  })

  test.each(programsOf(blocks).map((program) => ({ ...program, line: program.blocks[0]?.line })))(
    '$language of line $line',
    async (program) => {
      const runProgram = run[program.language]
      if (runProgram === undefined) throw new Error(`nothing here runs ${program.language}`)
      await runProgram(name, program, project)
    },
  )
})

const run: Record<string, (name: string, program: Program, project: string) => Promise<void>> = {
  async sh(_name: string, program: Program, project: string) {
    const outputs = mkdtempSync(join(work, 'out-'))
    const script = program.blocks.map(({ code, line }) => `exec >'${outputs}/${line}'\n: line ${line}\n${code}`)
    const result = await execa('bash', ['-xeuo', 'pipefail', '-c', script.join('\n')], {
      cwd: project,
      env: user.env,
      reject: false,
      stdin: 'ignore',
    })
    expect(result, `${result.stderr}\n${user.log()}`).toMatchObject({ exitCode: 0 })
    const wrong = program.blocks.map((block) =>
      printedOtherwise(block, readFileSync(join(outputs, `${block.line}`), 'utf8')),
    )
    expect(wrong.filter((each) => each !== undefined)).toEqual([])
  },

  async ts(name: string, program: Program, project: string) {
    const file = moduleFile(name, program)
    expect(typeErrors.filter((line) => line.startsWith(`${basename(file)}.ts`))).toEqual([])
    const result = await execa('node', [`${file}.js`], {
      cwd: project,
      env: user.env,
      reject: false,
      stdin: 'ignore',
      extendEnv: false,
    })
    expect(result, `${result.stderr}\n${user.log()}`).toMatchObject({ exitCode: 0 })
    const [last] = program.blocks.slice(-1)
    if (last !== undefined) expect(printedOtherwise(last, result.stdout)).toBeUndefined()
  },
}
