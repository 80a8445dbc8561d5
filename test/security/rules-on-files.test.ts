import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { calls } from '../fixtures/caller/calls.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

/**
 * Attacks on what the rules hide, made as root on the mount: modes hold nobody here, only the view does.
 */
const RULES: readonly Rule[] = [
  rule('**', 'read'),
  rule('/work/**', 'write'),
  rule('/names/**', 'view'),
  rule('**/secret*/**', 'none', 10),
  rule('/work/fixed.txt', 'read', 10),
  rule('/work/inner/later-hidden/**', 'none', 10),
  rule('/deep/only/**', 'none'),
  rule('/deep/only/here/**/*.md', 'read', 5),
]

let base: string
let mounted: MountedView

beforeAll(async () => {
  if (!(await has('root', 'fuse'))) return
  base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
  plant(base)
  mounted = await mountedView({ base, rules: RULES })
})

afterAll(async () => {
  await mounted?.[Symbol.asyncDispose]()
  if (base !== undefined) fs.rmSync(base, { recursive: true })
})

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('what a rule hides', () => {
  it('is in no listing, not even of names', () => {
    expect(fs.readdirSync(mounted.path).sort()).toEqual(['deep', 'names', 'open.txt', 'work'])
    expect(fs.readdirSync(at('work')).sort()).toEqual(['a', 'fixed.txt', 'free.txt', 'link-to-secret', 'full'].sort())
  })

  it('does not exist for any call that takes a path', () => {
    const hidden = at('work/secret.txt')
    for (const [call, run] of Object.entries(callsOn(hidden))) expect([call, errorCode(run)]).toEqual([call, 'ENOENT'])
  })

  it('is answered by making calls just as a name that is free but may not be made', () => {
    const free = at('work/secret-that-is-not-there')
    for (const hidden of [at('work/secret.txt'), at('work/secrets')]) {
      for (const [call, run] of Object.entries(makingCalls(hidden))) {
        const same = makingCalls(free)[call as keyof ReturnType<typeof makingCalls>]
        expect([call, errorCode(run)]).toEqual([call, errorCode(same)])
        expect(errorCode(run)).toBe('EACCES')
      }
    }
  })

  it('is not reached through a symlink that names it', () => {
    expect(errorCode(() => fs.readFileSync(at('work/link-to-secret')))).toBe('ENOENT')
  })

  it('does not count in the links of its directory', () => {
    // `a` and `full` are there to be seen; `secrets` is not.
    expect(fs.lstatSync(at('work')).nlink).toBe(2 + 2)
  })

  it('leaves no gap in inode numbers and in the places of a listing that lets it be counted', async () => {
    const names = Array.from({ length: 40 }, (_, index) => `n${index + 10}`)
    const many = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
    for (const name of names) fs.writeFileSync(join(many, name), '')
    await using half = await mountedView({ base: many, rules: [rule('**', 'write'), rule('n?[02468]', 'none')] })
    fs.rmSync(many, { recursive: true })
    const fd = fs.openSync(half.path, 'r')
    const listed = calls.getdents(fd, 65_536).filter(({ name }) => name.startsWith('n'))
    fs.closeSync(fd)
    expect(listed.map(({ name }) => name)).toEqual(names.filter((name) => /[13579]$/.test(name)))
    expect(listed.map(({ ino }) => ino)).toEqual(listed.map(({ name }) => fs.lstatSync(join(half.path, name)).ino))
    for (const numbers of [listed.map(({ ino }) => ino), listed.map(({ next }) => Number(next))]) {
      const steps = numbers.slice(1).map((number, index) => Math.abs(number - (numbers[index] ?? 0)))
      expect(steps.filter((step) => step < 1000)).toEqual([])
    }
  })

  it('lets its directory be removed as an empty one, and stays for the owner', async () => {
    fs.unlinkSync(at('work/full/seen'))
    fs.rmdirSync(at('work/full'))
    expect(fs.existsSync(at('work/full'))).toBe(false)
    expect(await names('owner', 'work')).not.toContain('work/full')
    expect(tarNames(await exported('owner'))).toContain('work/full/secret-inside')
    expect(tarNames(await exported('sandbox')).some((name) => /(^|\/)secret/.test(name))).toBe(false)
    fs.mkdirSync(at('work/full'))
    expect(fs.readdirSync(at('work/full'))).toEqual([])
    expect(tarNames(await exported('owner'))).toContain('work/full/secret-inside')
    const deleted = (await changes()).filter(({ kind }) => kind === 'deleted').map(({ path }) => path)
    expect(deleted).toEqual(['work/full/seen'])
  })
})

describe('a level', () => {
  it('of view shows name and size, and no contents', () => {
    expect(fs.lstatSync(at('names/private.txt')).size).toBe(7)
    expect(errorCode(() => fs.readFileSync(at('names/private.txt')))).toBe('EACCES')
    expect(errorCode(() => fs.readlinkSync(at('names/link')))).toBe('EACCES')
    expect(errorCode(() => fs.copyFileSync(at('names/private.txt'), at('work/copy')))).toBe('EACCES')
  })

  it('of read refuses every change, to root too', () => {
    const file = at('open.txt')
    expect(fs.readFileSync(file, 'utf8')).toBe('open')
    const changing = {
      write: () => fs.writeFileSync(file, 'x', { flag: 'r+' }),
      append: () => fs.appendFileSync(file, 'x'),
      truncate: () => fs.truncateSync(file),
      chmod: () => fs.chmodSync(file, 0o777),
      chown: () => fs.chownSync(file, 1, 1),
      utimes: () => fs.utimesSync(file, 0, 0),
      unlink: () => fs.unlinkSync(file),
      rename: () => fs.renameSync(file, at('work/moved')),
      overwrite: () => fs.renameSync(at('work/free.txt'), file),
      create: () => fs.writeFileSync(at('new.txt'), ''),
      mkdir: () => fs.mkdirSync(at('new')),
    }
    for (const [call, run] of Object.entries(changing)) expect([call, errorCode(run)]).toEqual([call, 'EACCES'])
    expect(fs.readFileSync(file, 'utf8')).toBe('open')
  })

  it('holds for names made after the rules were set', () => {
    expect(errorCode(() => fs.writeFileSync(at('work/secrets-of-mine'), 'x'))).toBe('EACCES')
    expect(errorCode(() => fs.renameSync(at('work/free.txt'), at('work/secret-now')))).toBe('EACCES')
  })

  it('is not raised by a hard link where more is allowed', () => {
    expect(errorCode(() => fs.linkSync(at('open.txt'), at('work/mine')))).toBe('EXDEV')
    expect(errorCode(() => fs.linkSync(at('work/fixed.txt'), at('work/mine')))).toBe('EXDEV')
  })

  it('is not raised by moving a directory out of a rule that names its path', () => {
    // /work/fixed.txt may only be read; anywhere else below /work it could be written.
    fs.mkdirSync(at('work/target'))
    expect(errorCode(() => fs.renameSync(at('work'), at('elsewhere')))).toBe('EACCES')
    expect(errorCode(() => fs.renameSync(at('work/fixed.txt'), at('work/target/fixed.txt')))).toBe('EACCES')
    expect(fs.readFileSync(at('work/fixed.txt'), 'utf8')).toBe('fixed')
  })
})

describe('a directory that moves to where a rule hides something in it', () => {
  it('does not take the kernel’s memory of it along: it is copied, as far as that is allowed', () => {
    fs.mkdirSync(at('work/outer/later-hidden'), { recursive: true })
    fs.writeFileSync(at('work/outer/later-hidden/file'), 'seen before')
    expect(fs.readFileSync(at('work/outer/later-hidden/file'), 'utf8')).toBe('seen before')
    expect(errorCode(() => fs.renameSync(at('work/outer'), at('work/inner')))).toBe('EXDEV')
    expect(() => sh('mv work/outer work/inner')).toThrow(/Permission denied/)
    expect(errorCode(() => fs.readFileSync(at('work/inner/later-hidden/file')))).toBe('ENOENT')
  })
})

describe('a directory that is hidden but has something visible in it', () => {
  it('shows, and lists only that', () => {
    expect(fs.readdirSync(at('deep'))).toEqual(['only'])
    expect(fs.readdirSync(at('deep/only'))).toEqual(['here'])
    expect(fs.readdirSync(at('deep/only/here'))).toEqual(['below'])
    expect(fs.readdirSync(at('deep/only/here/below'))).toEqual(['notes.md'])
  })

  it('is hidden where nothing in it is visible', () => {
    expect(errorCode(() => fs.lstatSync(at('deep/only/here/nothing')))).toBe('ENOENT')
  })
})

describe('a node that was opened', () => {
  it('stays the file it was when its name becomes a link to a host file (rename and plant)', () => {
    fs.writeFileSync(at('work/f'), 'mine')
    const fd = fs.openSync(at('work/f'), 'r')
    fs.renameSync(at('work/f'), at('work/g'))
    fs.symlinkSync('/etc/hostname', at('work/f'))
    expect(fs.readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe('mine')
    fs.closeSync(fd)
  })

  it('is followed by its number when its directory is swapped for a link', () => {
    fs.mkdirSync(at('work/d'))
    fs.writeFileSync(at('work/d/file'), 'inside')
    const script = 'cd work/d && mv ../d ../e && ln -s /etc ../d && cat file && ls'
    expect(sh(script)).toBe('inside\nfile\n'.replace('inside\n', 'inside'))
  })
})

describe('names that look like markers of an overlay', () => {
  it('are ordinary names', () => {
    for (const name of ['.wh.x', '.wh..wh..opq', '.fuse_hidden1', '..data']) {
      fs.writeFileSync(at(`work/${name}`), name)
      expect(fs.readFileSync(at(`work/${name}`), 'utf8')).toBe(name)
      expect(fs.readdirSync(at('work'))).toContain(name)
      fs.unlinkSync(at(`work/${name}`))
    }
    expect(fs.readdirSync(at('work'))).toContain('a')
  })
})

describe('device nodes and set-user-id', () => {
  it('cannot be made, or take no effect', () => {
    expect(() => sh('mknod work/null c 1 3')).toThrow(/not permitted/)
    expect(sh('grep " $PWD " /proc/self/mounts')).toMatch(/nosuid,nodev/)
  })
})

describe('rules that change while mounted', () => {
  it('take cached names, attributes and pages away at the next call', async () => {
    await using live = await mountedView({ base, rules: [rule('**', 'write')] })
    const secret = join(live.path, 'work/secret.txt')
    expect(fs.readFileSync(secret, 'utf8')).toBe('secret')
    const fd = fs.openSync(secret, 'r')
    await live.view.setRules(RULES)
    expect(errorCode(() => fs.lstatSync(secret))).toBe('ENOENT')
    expect(errorCode(() => fs.readFileSync(secret))).toBe('ENOENT')
    expect(fs.readdirSync(join(live.path, 'work'))).not.toContain('secret.txt')
    expect(errorCode(() => fs.readSync(fd, Buffer.alloc(10)))).toBe('ENOENT')
    fs.closeSync(fd)
    expect(errorCode(() => fs.writeFileSync(join(live.path, 'open.txt'), 'x'))).toBe('EACCES')
    await live.view.setRules([rule('**', 'write')])
    expect(fs.readFileSync(secret, 'utf8')).toBe('secret')
  })

  it('hold in the root too, for names that were listed and names that were missed', async () => {
    await using live = await mountedView({ base, rules: [rule('**', 'write'), rule('names/**', 'none')] })
    expect(fs.readdirSync(live.path).sort()).toEqual(['deep', 'open.txt', 'secrets', 'work'])
    expect(errorCode(() => fs.lstatSync(join(live.path, 'names')))).toBe('ENOENT')
    await live.view.setRules([rule('**', 'write'), rule('secrets/**', 'none'), rule('open.txt', 'none')])
    expect(fs.readdirSync(live.path).sort()).toEqual(['deep', 'names', 'work'])
    expect(fs.lstatSync(join(live.path, 'names')).isDirectory()).toBe(true)
    expect(errorCode(() => fs.lstatSync(join(live.path, 'open.txt')))).toBe('ENOENT')
    expect(fs.lstatSync(live.path).nlink).toBe(2 + 3)
  })
})

function rule(pattern: string, level: Rule['level'], priority = 0): Rule {
  return { pattern, type: 'glob', level, priority }
}

function plant(directory: string): void {
  for (const each of [
    'work/a',
    'work/secrets',
    'work/full',
    'names',
    'deep/only/here/below',
    'deep/only/here/nothing',
    'secrets',
  ]) {
    fs.mkdirSync(join(directory, each), { recursive: true })
  }
  const files = {
    'open.txt': 'open',
    'work/free.txt': 'free',
    'work/fixed.txt': 'fixed',
    'work/secret.txt': 'secret',
    'work/secrets/key': 'key',
    'work/full/seen': 'seen',
    'work/full/secret-inside': 'inside',
    'names/private.txt': 'private',
    'deep/other.txt': 'other',
    'deep/only/here/below/notes.md': 'notes',
    'deep/only/here/nothing/data.bin': 'data',
    'secrets/top': 'top',
  }
  for (const [path, contents] of Object.entries(files)) fs.writeFileSync(join(directory, path), contents)
  fs.rmSync(join(directory, 'deep/other.txt'))
  fs.symlinkSync('secret.txt', join(directory, 'work/link-to-secret'))
  fs.symlinkSync('private.txt', join(directory, 'names/link'))
}

function callsOn(path: string) {
  return {
    lstat: () => fs.lstatSync(path),
    open: () => fs.openSync(path, 'r'),
    openForWriting: () => fs.openSync(path, 'r+'),
    access: () => fs.accessSync(path),
    readlink: () => fs.readlinkSync(path),
    readdir: () => fs.readdirSync(path),
    opendir: () => fs.opendirSync(path),
    chmod: () => fs.chmodSync(path, 0o644),
    utimes: () => fs.utimesSync(path, 0, 0),
    truncate: () => fs.truncateSync(path),
    unlink: () => fs.unlinkSync(path),
    rmdir: () => fs.rmdirSync(path),
    rename: () => fs.renameSync(path, at('work/found')),
    linkFrom: () => fs.linkSync(path, at('work/found')),
    watch: () => fs.watch(path).close(),
  }
}

function makingCalls(path: string) {
  return {
    create: () => fs.openSync(path, 'w'),
    exclusive: () => fs.openSync(path, 'wx'),
    mkdir: () => fs.mkdirSync(path),
    symlink: () => fs.symlinkSync('x', path),
    linkTo: () => fs.linkSync(at('work/free.txt'), path),
    renameTo: () => fs.renameSync(at('work/free.txt'), path),
    renameDirectoryTo: () => fs.renameSync(at('work/a'), path),
  }
}

function at(path: string): string {
  return join(mounted.path, path)
}

function sh(script: string): string {
  return execFileSync('sh', ['-c', script], { cwd: mounted.path, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

async function names(as: 'owner' | 'sandbox', path: string): Promise<string[]> {
  const found: string[] = []
  for await (const batch of mounted.view.list(path, as, false)) found.push(...batch.map((info) => info.path))
  return found
}

async function changes() {
  const found = []
  for await (const batch of mounted.view.changes()) found.push(...batch)
  return found
}

async function exported(as: 'owner' | 'sandbox'): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of mounted.view.exportTar({ content: 'view', as })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function tarNames(archive: Buffer): string[] {
  return execFileSync('tar', ['-t'], { input: archive, encoding: 'utf8' }).trim().split('\n')
}
