import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toBytes, toText } from './byte-path.ts'
import type { IgnoreOptions } from './ignore-rules.ts'
import { walk } from './walk.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'croft-walk-'))
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

function write(tree: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(tree)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
}

async function filesOf(options: IgnoreOptions = {}, dir = root): Promise<string[]> {
  const entries = await walk(dir, options)
  return entries
    .filter((entry) => entry.kind !== 'directory')
    .map((entry) => toText(entry.path))
    .sort()
}

describe('what git ignores', () => {
  const name = fc.constantFrom('a', 'b', 'ab', 'build', 'x.log', 'y.txt', '.env', 'ä', 'a b', '[c]', '!d', '#e')
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))
  const piece = fc.constantFrom(
    'a',
    'b',
    'ab',
    'build',
    '*',
    '?',
    '*.log',
    '[ab]',
    '[!a]',
    '**',
    'ä',
    '.env',
    '*.txt',
    'a b',
    '\\!d',
    '\\[c]',
  )
  const pattern = fc
    .tuple(fc.boolean(), fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([negated, anchored, pieces, directory]) =>
      [negated ? '!' : '', anchored ? '/' : '', pieces.join('/'), directory ? '/' : ''].join(''),
    )
  const ignoreFile = fc.record({
    dir: fc.array(name, { maxLength: 2 }).map((names) => names.join('/')),
    lines: fc.array(pattern, { minLength: 1, maxLength: 5 }),
  })

  test('is left out, for any tree and any .gitignore files in it', async () => {
    execFileSync('git', ['init', '-q', root])
    await fc.assert(
      fc.asyncProperty(
        fc.array(path, { minLength: 1, maxLength: 12 }),
        fc.array(ignoreFile, { maxLength: 3 }),
        async (paths, ignores) => {
          for (const left of readdirSync(root)) if (left !== '.git') rmSync(join(root, left), { recursive: true })
          for (const each of paths) tryToWrite(each, 'x')
          for (const { dir, lines } of ignores)
            tryToWrite(dir === '' ? '.gitignore' : `${dir}/.gitignore`, `${lines.join('\n')}\n`)

          const expected = gitFiles(root)
          const found = (await filesOf()).filter((file) => !file.startsWith('.git/'))
          expect(found).toEqual(expected)
        },
      ),
      { numRuns: 150 },
    )
  }, 60_000)

  /** A random tree wants a directory where it has a file already now and then. */
  function tryToWrite(at: string, content: string): void {
    try {
      write({ [at]: content })
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? ''
      if (!['ENOTDIR', 'EISDIR', 'EEXIST'].includes(code)) throw error
    }
  }

  function gitFiles(dir: string): string[] {
    const args = ['-c', 'core.excludesFile=/dev/null', 'ls-files', '-z', '--others', '--exclude-standard']
    return execFileSync('git', ['-C', dir, ...args], { encoding: 'utf8' })
      .split('\0')
      .filter(Boolean)
      .sort()
  }

  test('a negated file in an excluded directory stays out', async () => {
    write({ '.gitignore': 'out/\n!out/keep.txt\n', 'out/keep.txt': '', 'in.txt': '' })
    expect(await filesOf()).toEqual(['.gitignore', 'in.txt'])
  })

  test('a deeper file re-includes a directory with all that is in it', async () => {
    write({ '.gitignore': 'build/\n', 'sub/.gitignore': '!build/\n', 'sub/build/deep/x': '', 'build/y': '' })
    expect(await filesOf()).toEqual(['.gitignore', 'sub/.gitignore', 'sub/build/deep/x'])
  })

  test('the .gitignore files of the repository above the folder count, but not against the folder itself', async () => {
    execFileSync('git', ['init', '-q', root])
    write({
      '.gitignore': 'packages/one/\n*.log\n',
      'packages/.gitignore': '/one/private\n',
      'packages/one/a.log': '',
      'packages/one/a.ts': '',
      'packages/one/private/b': '',
      'packages/one/sub/private': '',
    })
    expect(await filesOf({}, join(root, 'packages/one'))).toEqual(['a.ts', 'sub/private'])
  })

  test('says nothing of what is in .git', async () => {
    write({ '.gitignore': 'logs\n*.pack\n', '.git/logs/HEAD': '', '.git/objects/a.pack': '', logs: '' })
    expect(await filesOf()).toEqual(['.git/logs/HEAD', '.git/objects/a.pack', '.gitignore'])
  })

  test('a .gitignore that is a symlink is not read', async () => {
    write({ patterns: '*\n', a: '' })
    symlinkSync('patterns', join(root, '.gitignore'))
    expect(await filesOf()).toEqual(['.gitignore', 'a', 'patterns'])
  })
})

describe('.croftignore', () => {
  test('wins over .gitignore both ways', async () => {
    write({ '.gitignore': 'build/\n', '.croftignore': '!build/\nnotes.md\n', 'build/x': '', 'notes.md': '', a: '' })
    expect(await filesOf()).toEqual(['.croftignore', '.gitignore', 'a', 'build/x'])
  })

  test('wins over a deeper .gitignore', async () => {
    write({ '.croftignore': '!*.log\n', 'sub/.gitignore': '*.log\n', 'sub/a.log': '' })
    expect(await filesOf()).toEqual(['.croftignore', 'sub/.gitignore', 'sub/a.log'])
  })

  test('takes back what the default list leaves out', async () => {
    write({ 'x/__pycache__/a.pyc': '', '.DS_Store': '' })
    expect(await filesOf()).toEqual([])
    write({ '.croftignore': '!__pycache__/\n!*.pyc\n' })
    expect(await filesOf()).toEqual(['.croftignore', 'x/__pycache__/a.pyc'])
  })

  test('can leave out .git', async () => {
    write({ '.croftignore': '.git\n', '.git/HEAD': '', a: '' })
    expect(await filesOf()).toEqual(['.croftignore', 'a'])
  })
})

describe('the options', () => {
  test('include takes a directory whole, whatever the ignore files say of what is in it', async () => {
    write({
      '.gitignore': 'node_modules/\ndist/\n',
      'node_modules/p/dist/i.js': '',
      'node_modules/p/.gitignore': '*\n',
      'dist/x': '',
    })
    expect(await filesOf({ include: ['node_modules'] })).toEqual([
      '.gitignore',
      'node_modules/p/.gitignore',
      'node_modules/p/dist/i.js',
    ])
  })

  test('a list in ignore is above include and .croftignore', async () => {
    write({ '.croftignore': '!secret\n', secret: '', 'node_modules/.cache/x': '', 'node_modules/y': '' })
    expect(await filesOf({ include: ['node_modules'], ignore: ['secret', '.cache/'] })).toEqual([
      '.croftignore',
      'node_modules/y',
    ])
  })

  test('ignore none uploads everything', async () => {
    write({ '.gitignore': '*\n', '.croftignore': '*\n', '.DS_Store': '', 'a/b': '' })
    expect(await filesOf({ ignore: 'none' })).toEqual(['.DS_Store', '.croftignore', '.gitignore', 'a/b'])
  })
})

describe('the entries', () => {
  test('a directory comes before what is in it, and an empty one is kept', async () => {
    mkdirSync(join(root, 'a/b/empty'), { recursive: true })
    write({ 'a/b/c': '' })
    const paths = (await walk(root)).map((entry) => entry.path)
    expect(paths[0]).toBe('')
    for (const path of paths) {
      if (path !== '')
        expect(paths.indexOf(path)).toBeGreaterThan(paths.indexOf(path.includes('/') ? dirname(path) : ''))
    }
    expect(paths).toContain('a/b/empty')
  })

  test('a symlink is kept with its target and never followed', async () => {
    symlinkSync('/etc', join(root, 'link'))
    symlinkSync('nowhere', join(root, 'broken'))
    const links = (await walk(root)).filter((entry) => entry.kind === 'symlink')
    expect(links.map(({ path, target }) => [path, target]).sort()).toEqual([
      ['broken', 'nowhere'],
      ['link', '/etc'],
    ])
    expect(await walk(root)).toHaveLength(3)
  })

  test('a name that is no UTF-8 keeps its bytes', async () => {
    const name = Buffer.from([0x61, 0xff, 0xfe, 0x62])
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), 'x')
    const [, file] = await walk(root)
    expect(toBytes(file?.path ?? '').equals(name)).toBe(true)
  })

  test('nanoseconds and permission bits are kept', async () => {
    write({ script: '' })
    execFileSync('chmod', ['4751', join(root, 'script')])
    execFileSync('touch', ['-d', '2001-02-03T04:05:06.123456789Z', join(root, 'script')])
    const file = (await walk(root)).find((entry) => entry.path === 'script')
    expect(file).toMatchObject({ mode: 0o4751, mtimeNs: 981173106123456789n })
  })

  test('a FIFO is left out and told', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')])
    const skipped: string[][] = []
    const entries = await walk(root, { onSkip: (path, kind) => skipped.push([path, kind]) })
    expect(entries).toHaveLength(1)
    expect(skipped).toEqual([['pipe', 'fifo']])
  })

  test('a folder that is missing, or is a file, is refused by name', async () => {
    write({ file: '' })
    utimesSync(join(root, 'file'), 0, 0)
    await expect(walk(join(root, 'missing'))).rejects.toMatchObject({ code: 'local_file', path: join(root, 'missing') })
    await expect(walk(join(root, 'file'))).rejects.toMatchObject({ code: 'local_file', path: join(root, 'file') })
  })

  test('an abort ends it with its reason', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(walk(root, { signal })).rejects.toMatchObject({ code: 'aborted', cause: new Error('enough') })
  })
})
