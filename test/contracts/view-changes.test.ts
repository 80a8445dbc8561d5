import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Change } from '../../fs-layer/index.ts'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

let scratch: string
let mounted: MountedView

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  scratch = fs.mkdtempSync(join(tmpdir(), 'croft-changes-'))
  const base = join(scratch, 'base')
  fs.mkdirSync(base)
  sh(
    base,
    `mkdir -p src/deep empty big && echo one > src/one && echo two > src/two && echo deep > src/deep/file
     ln -s one src/link && head -c 100000 /dev/zero > big/zeros && chmod 755 src/two && mkdir secrets && echo key > secrets/key`,
  )
  mounted = await mountedView({ base })
})

afterEach(async () => {
  if (!(await has('root', 'fuse'))) return
  await mounted[Symbol.asyncDispose]()
  fs.rmSync(scratch, { recursive: true })
})

describe('changes', () => {
  it('are none where nothing changed, where only times did, and where a file was written anew as it was', async () => {
    inside('touch src/one; cp src/two x; mv x src/two; chmod 755 src/two; echo x > new; rm new; mkdir d; rmdir d')
    inside('mv src moved; mv moved src; ln src/one hard; rm hard; chmod 600 big; chmod 755 big')
    expect(await changes()).toEqual([])
  })

  it('name what was created, modified, deleted, renamed, and whose mode changed', async () => {
    inside('echo new > created; echo more >> src/one; rm -r src/deep; mv src/two renamed; chmod 700 big/zeros')
    inside('rm src/link; mkfifo fifo; rmdir empty; ln -s nowhere empty; mkdir -p made/below')
    expect(await changes()).toEqual([
      'mode big/zeros 700 was 644',
      'created created',
      'modified empty',
      'created fifo',
      'created made',
      'created made/below',
      'renamed renamed from src/two',
      'deleted src/deep',
      'deleted src/deep/file',
      'deleted src/link',
      'modified src/one',
    ])
  })

  it('tell a moved directory once, and what changed in it at its new place', async () => {
    inside('mv src lib; echo x >> lib/deep/file; rm lib/two; mv lib/one lib/first; echo y >> lib/first')
    expect(await changes()).toEqual([
      'renamed lib from src',
      'modified lib/deep/file',
      'renamed lib/first from src/one and modified',
      'deleted src/two',
    ])
  })

  it('tell a file that an editor wrote anew and put in its place as modified', async () => {
    inside('sed -i s/one/1/ src/one')
    expect(await changes()).toEqual(['modified src/one'])
  })

  it('tell a further name of a file as created, and no more than one as the new place of a file that moved', async () => {
    inside('ln src/one hard; ln src/two first; ln src/two second; rm src/two')
    const expected = ['renamed first from src/two', 'created hard', 'created second']
    expect(await changes()).toEqual(expected)
    await mounted.remount()
    expect(await changes()).toEqual(expected)
  })

  it('are the same after a remount', async () => {
    inside(
      'mv src lib; ln lib/one other; echo x >> other; rm -r big; mkdir big; echo z > big/z; ln -s q lib/q; rm lib/two',
    )
    const before = await changes()
    expect(before).toContain('deleted big/zeros')
    await mounted.remount()
    expect(await changes()).toEqual(before)
  })

  it('made from outside are seen inside at once, and the other way round', async () => {
    expect(inside('cat from-outside 2>&1 || true')).toContain('No such file')
    await mounted.view.write('from-outside', 'sandbox', bytes('hello'), {})
    expect(inside('cat from-outside; ls')).toContain('hello')
    inside('printf changed > from-outside')
    expect(await read('from-outside')).toBe('changed')
    await mounted.view.write('src/one', 'sandbox', bytes('replaced'), {})
    expect(inside('cat src/one')).toBe('replaced')
    await mounted.view.rename('src', 'lib', 'sandbox')
    expect(inside('ls; cat lib/one')).toMatch(/lib\n.*replaced/s)
    await mounted.view.remove('lib', 'sandbox', true)
    expect(inside('ls')).toBe('big\nempty\nfrom-outside\nsecrets\n')
    await mounted.view.mkdir('a/b/c', 'sandbox', 0o755)
    expect(inside('ls -d a/b/c')).toBe('a/b/c\n')
  })

  it('leave nothing when a write from outside is cut', async () => {
    const cut = (async function* () {
      yield Buffer.from('half')
      throw new Error('cut')
    })()
    await expect(mounted.view.write('src/one', 'sandbox', cut, {})).rejects.toThrow('cut')
    expect(await read('src/one')).toBe('one\n')
    expect(await changes()).toEqual([])
  })
})

describe('an export', () => {
  const NAMES = [
    'plain',
    'with space and \n newline',
    'ü'.repeat(120),
    'x'.repeat(255),
    `${'long/'.repeat(40)}${'n'.repeat(200)}`,
  ]

  for (const tar of ['tar', 'bsdtar'] as const) {
    it(`of the whole view is unpacked by ${tar} as what the view shows`, async (context) => {
      if (tar === 'bsdtar') await needs(context, 'bsdtar')
      for (const name of NAMES) {
        fs.mkdirSync(join(mounted.path, name, '..'), { recursive: true })
        fs.writeFileSync(join(mounted.path, name), name)
      }
      const odd = Buffer.concat([Buffer.from(`${mounted.path}/`), Buffer.from([0xff, 0xfe, 0x41])])
      fs.writeFileSync(odd, 'no UTF-8')
      inside(
        'ln src/one hard; mkfifo fifo; chmod 4711 src/two; ln -s "$(printf %0300d 0)" far; rm -r src/deep; mv big large',
      )
      expect(await unpacked(tar, 'view')).toEqual(listing(mounted.path))
    })
  }

  it('of the delta has what changed, and whiteouts for what is gone', async () => {
    inside('echo x >> src/one; rm -r src/deep; rm src/link; mv src/two two; mkdir new; chmod 700 big')
    const names = entries(await archive('delta', 'owner'))
    expect(names.sort()).toEqual(
      ['big/', 'new/', 'src/.wh.deep', 'src/.wh.link', 'src/.wh.two', 'src/one', 'two'].sort(),
    )
  })

  it('of the delta takes away no name of a file that still has it', async () => {
    inside('ln src/one hard; ln src/two other; rm src/two')
    expect(entries(await archive('delta', 'owner')).sort()).toEqual(['hard', 'other', 'src/.wh.two'])
  })

  it('of the delta refuses a name that would read as a whiteout', async () => {
    inside('touch .wh.one')
    await expect(archive('delta', 'owner')).rejects.toThrow('EINVAL')
  })

  it('of a sandbox leaves out what the rules hide, the owner’s has it', async () => {
    const rules: Rule[] = [
      { pattern: '**', type: 'glob', level: 'write' },
      { pattern: '/secrets/**', type: 'glob', level: 'none' },
    ]
    await mounted.view.setRules(rules)
    expect(entries(await archive('view', 'sandbox')).join()).not.toContain('secrets')
    expect(entries(await archive('view', 'owner'))).toContain('secrets/key')
  })
})

async function changes(): Promise<string[]> {
  const all: Change[] = []
  for await (const batch of mounted.view.changes()) all.push(...batch)
  return all.map(({ kind, path, from, mode, oldMode, modified }) => {
    if (kind === 'mode') return `mode ${path} ${mode.toString(8)} was ${oldMode?.toString(8)}`
    if (kind === 'renamed') return `renamed ${path} from ${from}${modified ? ' and modified' : ''}`
    return `${kind} ${path}`
  })
}

async function archive(content: 'view' | 'delta', as: 'owner' | 'sandbox'): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of mounted.view.exportTar({ content, as })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function entries(tar: Buffer): string[] {
  return execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8' }).trim().split('\n')
}

async function unpacked(tar: string, content: 'view' | 'delta'): Promise<string> {
  const to = join(scratch, tar)
  fs.mkdirSync(to)
  execFileSync(tar, ['-xpf', '-', '-C', to], { input: await archive(content, 'owner') })
  return listing(to)
}

/** Paths, kinds, modes, times, link counts, targets and contents of all but the root. */
function listing(directory: string): string {
  return sh(
    directory,
    `export LC_ALL=C; find . -mindepth 1 ! -type d -printf '%p|%y|%m|%T@|%n|%l\\n' | sort; find . -mindepth 1 -type d -printf '%p|%y|%m\\n' | sort
     find . -type f -print0 | sort -z | xargs -0 sha256sum`,
  )
}

async function read(path: string): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of mounted.view.read(path, 'sandbox', 0)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function* bytes(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

function inside(script: string): string {
  return sh(mounted.path, script)
}

function sh(cwd: string, script: string): string {
  return execFileSync('bash', ['-ec', script], { cwd, encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] })
}
