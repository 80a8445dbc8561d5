import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { type Caller, startCaller } from '../fixtures/caller/caller.ts'
import { calls } from '../fixtures/caller/calls.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

/** Ways to a file that are not its path, and names that a rule may be thought to miss. As root on the mount. */
const [O_RDONLY, O_RDWR] = [0, 2]
const AT_HANDLE_FID = 0x200
/** FILEID_INO64_GEN of Linux, as FUSE makes them. */
const FUSE_HANDLE = 0x81
const RULES: readonly Rule[] = [rule('**', 'write'), rule('hidden/**', 'none', 1), rule('shown/**', 'view', 1)]
const NAMES = ['hidden', 'shown', 'free'] as const

let mounted: MountedView
let c: Caller

beforeAll(async () => {
  if (!(await has('root', 'fuse'))) return
  mounted = await withBase(
    NAMES.map((name) => `${name}/file`),
    RULES,
  )
  c = await startCaller(mounted.path)
})

afterAll(async () => {
  await c?.[Symbol.asyncDispose]()
  await mounted?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a file that is hidden, and one whose contents are', () => {
  it('have no handle that could be opened without their path, and none that is forged is taken', async () => {
    for (const name of NAMES) expect(await c.errno('nameToHandle', `${name}/file`, 0)).toMatch(/ENOENT|ENOTSUP/)
    expect(await c.errno('nameToHandle', 'hidden/file', AT_HANDLE_FID)).toBe('ENOENT')
    const identity = await c.nameToHandle('shown/file', AT_HANDLE_FID)
    const near = await c.open('.', O_RDONLY)
    const forged = Array.from({ length: 20 }, (_, node) => `${String.fromCharCode(node)}${'\0'.repeat(11)}`)
    for (const each of [identity, ...forged]) {
      expect(await c.answer('openByHandle', near, FUSE_HANDLE, each)).not.toHaveProperty('value')
    }
  })

  it('are not read by copy_file_range, splice, O_DIRECT, a mapping or /proc', async () => {
    expect(await c.errno('open', 'hidden/file', O_RDONLY)).toBe('ENOENT')
    // Opening asks nobody: root has a descriptor, and nothing that it could do with it.
    const fd = await c.open('shown/file', O_RDONLY)
    const to = await c.open('free/copy', O_RDWR | 0o100)
    expect(await c.errno('copyRange', fd, 0, to, 0, 100)).toBe('EACCES')
    expect(await c.errno('readSpliced', fd, 100)).toBe('EACCES')
    expect(await c.errno('readDirect', 'shown/file', 1, 0)).toBe('EACCES')
    expect(await c.errno('readFile', `/proc/self/fd/${fd}`)).toBe('EACCES')
    expect(await c.errno('readByHoles', fd)).toBe('EACCES')
    await using other = await startCaller(mounted.path)
    const map = await other.mapKeep(await other.open('shown/file', O_RDONLY | O_RDWR))
    expect(await other.dies('mapRead', map, 4)).toBe('SIGBUS')
    expect(await c.readFile('free/copy')).toBe('')
  })

  it('are not read through io_uring', async (context) => {
    await needs(context, 'fio')
    const read = (file: string) =>
      execFileSync(
        'fio',
        ['--name=x', '--ioengine=io_uring', '--rw=read', '--bs=4', '--size=4', '--readonly', `--filename=${file}`],
        {
          cwd: mounted.path,
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
    read('free/file')
    expect(() => read('shown/file')).toThrow(/Permission denied/)
    expect(() => read('hidden/file')).toThrow(/Permission denied|No such file/)
  })

  it('tell no attributes of their own, and take no access lists', async () => {
    for (const call of ['listxattr', 'getxattr', 'setxattr', 'removexattr'] as const) {
      const more = call === 'listxattr' ? [] : call === 'setxattr' ? ['user.x', 'v', 0] : ['user.x']
      expect([call, await c.errno(call, 'hidden/file', ...more)]).toEqual([call, 'ENOENT'])
      expect([call, await c.errno(call, 'shown/file', ...more)]).toEqual([call, 'EACCES'])
    }
    for (const name of ['system.posix_acl_access', 'trusted.overlay.opaque', 'security.capability']) {
      expect(await c.errno('setxattr', 'free/file', name, 'x', 0)).toMatch(/ENOTSUP|EINVAL|ENODATA/)
    }
  })
})

describe('a rule', () => {
  const hides: Record<string, { pattern: string; type?: Rule['type']; hidden: string[]; shown: string[] }> = {
    'with several **': {
      pattern: '**/a/**/b/**',
      hidden: ['a/b', 'x/a/y/b', 'a/a/b/c'],
      shown: ['b/a', 'a/c', 'ab/b'],
    },
    'with braces': { pattern: '{a,b/{c,d}}/**', hidden: ['a/x', 'b/c', 'b/d/e'], shown: ['b/e', 'c', '{a,b}'] },
    'with classes': { pattern: '[a-c!]?[!0-9]', hidden: ['abc', '!xx', 'b..'], shown: ['ab1', 'dxx', 'ab', 'ABC'] },
    'without a leading slash, or with one': { pattern: '/top', hidden: ['top'], shown: ['x/top', 'Top', 'top.'] },
    'for a directory with a slash at its end': {
      ...{ pattern: 'dir/', type: 'directory' },
      ...{ hidden: ['dir/x', 'dir/y/z'], shown: ['dirs', 'x/dir'] },
    },
    'for names of one Unicode form': {
      pattern: '**/caf\u00e9',
      hidden: [utf8('caf\u00e9'), utf8('x/caf\u00e9')],
      shown: [utf8('cafe\u0301'), 'caf\xe9'],
    },
    'that only wildcards match to bytes of no Unicode': {
      pattern: 'x*',
      hidden: ['x\xff\xfe', 'x\x80'],
      shown: ['\xff'],
    },
    'for a name of 255 bytes': { pattern: 'n'.repeat(255), hidden: ['n'.repeat(255)], shown: ['n'.repeat(254)] },
    'that takes signs for what they are': { pattern: '\\*\\{a\\}', hidden: ['*{a}'], shown: ['xa', '*a', '\\*{a}'] },
  }
  for (const [kind, { pattern, type = 'glob', hidden, shown }] of Object.entries(hides)) {
    it(`${kind} hides what it says and nothing else`, async () => {
      await using view = await withBase(
        [...hidden, ...shown],
        [rule('**', 'write'), { pattern, type, level: 'none', priority: 1 }],
      )
      for (const path of hidden)
        expect([path, errorCode(() => calls.lstat(`${view.path}/${path}`))]).toEqual([path, 'ENOENT'])
      for (const path of shown) expect([path, calls.readFile(`${view.path}/${path}`)]).toEqual([path, path])
    })
  }

  it('that could be read in two ways is refused, when a view is made and later, and the old ones stay', async () => {
    for (const pattern of [
      '',
      'a//b',
      './a',
      'a/../b',
      '/',
      'a/',
      '***',
      'a**',
      '[a',
      '{a',
      'a}',
      '{a}',
      '[b-a]',
      'a\0b',
      '\ud800',
    ]) {
      await expect(mounted.view.setRules([rule('**', 'write'), rule(pattern, 'read')]), pattern).rejects.toThrow()
      expect(await c.errno('lstat', 'hidden')).toBe('ENOENT')
    }
    await expect(mountedView({ rules: [rule('a//b', 'none')] })).rejects.toThrow()
  })
})

function rule(pattern: string, level: Rule['level'], priority = 0): Rule {
  return { pattern, type: 'glob', level, priority }
}

/** A view of files that hold their own paths. */
async function withBase(paths: readonly string[], rules: readonly Rule[]): Promise<MountedView> {
  const base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
  try {
    for (const path of paths) {
      const at = `${base}/${path}`
      fs.mkdirSync(Buffer.from(at.slice(0, at.lastIndexOf('/')), 'latin1'), { recursive: true })
      calls.writeFile(at, path)
    }
    return await mountedView({ base, rules })
  } finally {
    fs.rmSync(base, { recursive: true })
  }
}

function utf8(text: string): string {
  return Buffer.from(text).toString('latin1')
}
