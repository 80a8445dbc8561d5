import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'

/** A small project under git, as the documents assume one: with tests, a program to build it, and a secret. */
export async function documentProject(dir: string): Promise<void> {
  mkdirSync(join(dir, 'src'), { recursive: true })
  mkdirSync(join(dir, 'build'))
  for (const [path, text] of Object.entries(FILES)) writeFileSync(join(dir, path), text)
  const git = (...args: string[]) =>
    execa('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args], { cwd: dir })
  await git('init', '--quiet')
  await git('add', '.')
  await git('commit', '--quiet', '--message', 'a project')
}

const FILES = {
  'package.json': `${JSON.stringify({ name: 'project', private: true, type: 'module', scripts: { test: 'node --test', start: 'echo ready; exec sleep 1000' } })}\n`,
  '.gitignore': 'node_modules/\nbuild/\n',
  '.env': 'TOKEN=secret\n',
  'README.md': '# A project\n',
  'src/sum.js': 'export const sum = (a, b) => a + b\n',
  'src/sum.test.js': [
    "import { equal } from 'node:assert'",
    "import { test } from 'node:test'",
    "import { sum } from './sum.js'",
    "test('adds', () => equal(sum(1, 2), 3))",
    '',
  ].join('\n'),
}
