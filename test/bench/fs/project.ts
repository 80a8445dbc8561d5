import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from '../child.ts'
import { repositoryRoot } from './client.ts'

/** The tree that every variant shows, and what the steps need to know of it. */
export interface Project {
  readonly dir: string
  readonly files: number
  /** Where HEAD is, and another commit to check out; absent without at least two commits. */
  readonly commits?: { readonly head: string; readonly other: string }
  readonly hasNodeModules: boolean
  readonly hasPython: boolean
  /** It can be type-checked by a compiler of its own. */
  readonly hasTypeScript: boolean
  /** Packages to import. */
  readonly dependencies: readonly string[]
  /** A directory of node_modules with some hundred files, to copy and to pack. */
  readonly directory?: string
}

/** Everything that the steps need beside a project's own files, in it. */
export const EXTRA_DIR = 'croft-bench'
const SMALL_FILES = 2000
const WIDE_FILES = 10_000

/** A copy of this repository at its last commit with its node_modules, or of the folder `from`, in `dir`. */
export async function makeProject(dir: string, from: string | undefined, signal: AbortSignal): Promise<Project> {
  await (from === undefined ? cloneThis(dir, signal) : runToEnd('cp', ['-a', from, dir], { signal }))
  await addExtras(join(dir, EXTRA_DIR), signal)
  if (existsSync(join(dir, '.git/info'))) writeFileSync(join(dir, '.git/info/exclude'), `/${EXTRA_DIR}/\n`)

  const hasNodeModules = existsSync(join(dir, 'node_modules'))
  const commits = await commitsOf(dir, signal)
  const directory = hasNodeModules ? chooseDirectory(dir) : undefined
  return {
    dir,
    files: Number(await runToEnd('sh', ['-c', 'find . -type f | wc -l'], { signal, cwd: dir })),
    ...(commits === undefined ? {} : { commits }),
    ...(directory === undefined ? {} : { directory }),
    hasNodeModules,
    hasPython: existsSync(join(dir, EXTRA_DIR, 'python')),
    hasTypeScript:
      existsSync(join(dir, 'tsconfig.json')) && existsSync(join(dir, 'node_modules/typescript/package.json')),
    dependencies: dependenciesOf(dir),
  }
}

async function cloneThis(dir: string, signal: AbortSignal): Promise<void> {
  const root = repositoryRoot()
  await runToEnd('git', ['clone', '-q', '--no-hardlinks', root, dir], { signal })
  if (!existsSync(join(root, 'node_modules'))) return
  await runToEnd('cp', ['-a', join(root, 'node_modules'), dir], { signal })
  // Caches of tools that may be at work in the checkout.
  for (const cache of ['.cache', '.vite', '.vite-temp']) {
    rmSync(join(dir, 'node_modules', cache), { recursive: true, force: true })
  }
}

async function addExtras(dir: string, signal: AbortSignal): Promise<void> {
  const kilobyte = Buffer.alloc(1024, 'croft ')
  mkdirSync(join(dir, 'small'), { recursive: true })
  for (let at = 0; at < SMALL_FILES; at++)
    writeFileSync(join(dir, 'small', `f${String(at).padStart(5, '0')}`), kilobyte)
  mkdirSync(join(dir, 'wide'))
  for (let at = 0; at < WIDE_FILES; at++) writeFileSync(join(dir, 'wide', `entry-${at}`), '')
  addSources(join(dir, 'c'))
  await addPython(join(dir, 'python'), signal)
}

const C_SOURCES = 24

function addSources(dir: string): void {
  mkdirSync(dir)
  const names = Array.from({ length: C_SOURCES }, (_, at) => `part${at}`)
  for (const [at, name] of names.entries()) {
    const head = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n'
    const body = Array.from({ length: 20 }, (_, line) => `  sum = sum * 31 + strlen(text) + ${at * line};`).join('\n')
    writeFileSync(
      join(dir, `${name}.c`),
      `${head}unsigned long ${name}(const char *text)\n{\n  unsigned long sum = 0;\n${body}\n  return sum;\n}\n`,
    )
  }
  writeFileSync(join(dir, 'main.c'), 'int main(void)\n{\n  return 0;\n}\n')
  const objects = ['main', ...names].map((name) => `${name}.o`).join(' ')
  writeFileSync(
    join(dir, 'Makefile'),
    `CFLAGS = -O1\nprogram: ${objects}\n\t$(CC) -o $@ ${objects}\nclean:\n\trm -f program *.o\n`,
  )
}

const PYTHON_PACKAGES = ['asyncio', 'email', 'http', 'importlib', 'json', 'logging', 'unittest', 'urllib', 'xml']

async function addPython(dir: string, signal: AbortSignal): Promise<void> {
  const version = readdirSync('/usr/lib').find((name) => /^python3\.\d+$/.test(name))
  if (version === undefined) return
  const packages = PYTHON_PACKAGES.map((name) => `/usr/lib/${version}/${name}`).filter((path) => existsSync(path))
  if (packages.length === 0) return
  mkdirSync(dir)
  await runToEnd('cp', ['-a', ...packages, dir], { signal })
  await runToEnd('find', [dir, '-name', '__pycache__', '-prune', '-exec', 'rm', '-rf', '{}', '+'], { signal })
}

async function commitsOf(dir: string, signal: AbortSignal): Promise<Project['commits']> {
  if (!existsSync(join(dir, '.git'))) return undefined
  const history = (await runToEnd('git', ['rev-list', '--first-parent', 'HEAD'], { signal, cwd: dir }))
    .trim()
    .split('\n')
  const [head] = history
  // Half-way back: some of the files are others then, and many are gone.
  const other = history[history.length >> 1]
  return head === undefined || other === undefined || other === head ? undefined : { head, other }
}

function dependenciesOf(dir: string): string[] {
  if (!existsSync(join(dir, 'package.json'))) return []
  const { dependencies = {} } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>
  }
  return Object.keys(dependencies)
}

/** The package with the most entries. */
function chooseDirectory(dir: string): string | undefined {
  const sized = readdirSync(join(dir, 'node_modules'))
    .filter((name) => !name.startsWith('.') && !name.startsWith('@'))
    .map((name) => ({ name, entries: readdirSync(join(dir, 'node_modules', name), { recursive: true }).length }))
  const largest = sized.toSorted((a, b) => b.entries - a.entries)[0]
  return largest === undefined ? undefined : `node_modules/${largest.name}`
}
