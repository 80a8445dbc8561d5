import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { CAPABILITIES, type DeviceCapabilities } from '../../../fs-layer/device/capabilities.ts'
import { Opcode } from '../../../fs-layer/protocol/constants.ts'
import { has, lacks, needs } from '../../needs.ts'
import { type Server, startServer } from './server-process.ts'

const USER = 12_345

// The calls here block this process, never the one that serves.

// `full`: it speaks the protocol itself.
describe.each([
  { device: 'kernel', full: true, who: 'root', uid: 0 },
  { device: 'kernel', full: true, who: 'an ordinary user', uid: USER },
  { device: 'stream', full: true, who: 'root', uid: 0 },
  { device: 'stream', full: true, who: 'an ordinary user', uid: USER },
  { device: 'fuse-native', full: false, who: 'root', uid: 0 },
  { device: 'fuse-native', full: false, who: 'an ordinary user', uid: USER },
] as const)('the $device device, used by $who', ({ device, full, uid }) => {
  let server: Server
  const at = (...names: string[]) => join(server.target, ...names)
  const counts = async () => (await server.ask({ do: 'counts' })) as number[]

  const able = (context: TestContext, ...abilities: (keyof DeviceCapabilities)[]) => {
    const missing = abilities.find((ability) => !CAPABILITIES[device][ability])
    if (missing !== undefined) lacks(context, `${missing} (${device})`)
  }
  const wanted = full ? (['root', 'fuse'] as const) : (['root', 'fuse', 'fuse-native'] as const)

  beforeAll(async () => {
    if (!(await has(...wanted))) return
    server = await startServer({ device, options: { owner: { uid, gid: 0 } } })
    fs.chmodSync(join(server.target, '..'), 0o711)
    fs.chmodSync(server.target, 0o777)
    process.seteuid?.(uid)
  })
  beforeEach((context) => needs(context, ...wanted))
  afterAll(() => {
    process.seteuid?.(0)
    return server?.[Symbol.asyncDispose]()
  })

  it('gives back what was written, at any place and of any size', () => {
    const contents = Buffer.alloc(3 * 1024 * 1024 + 17, 'croft ')
    fs.writeFileSync(at('big'), contents)
    expect(fs.readFileSync(at('big')).equals(contents)).toBe(true)
    const fd = fs.openSync(at('big'), 'r+')
    fs.writeSync(fd, 'X', 2 * 1024 * 1024)
    fs.closeSync(fd)
    expect(fs.readFileSync(at('big'))[2 * 1024 * 1024]).toBe('X'.charCodeAt(0))
    fs.truncateSync(at('big'), 5)
    expect(fs.readFileSync(at('big'), 'utf8')).toBe('croft')
  })

  it('answers a warm stat and a repeated miss without any request', async (context) => {
    able(context, 'notices')
    fs.writeFileSync(at('warm'), 'x')
    fs.statSync(at('warm'))
    expect(fs.existsSync(at('missing'))).toBe(false)
    const before = await counts()
    for (let i = 0; i < 100; i++) fs.statSync(at('warm'))
    expect(fs.existsSync(at('missing'))).toBe(false)
    expect(await counts()).toEqual(before)
  })

  // libfuse 2 asks for each name again.
  const many = full && uid === 0 ? 10_000 : 1000
  it(`lists ${many} entries, each once`, { timeout: 60_000 }, () => {
    fs.mkdirSync(at('many'))
    const names = Array.from({ length: many }, (_, i) => `entry-${i}`)
    for (const name of names) fs.closeSync(fs.openSync(at('many', name), 'w'))
    expect(fs.readdirSync(at('many')).sort()).toEqual(names.sort())
  })

  it('lists a directory that has not changed without any request', async (context) => {
    able(context, 'notices')
    fs.mkdirSync(at('listed'))
    fs.writeFileSync(at('listed', 'entry'), '')
    fs.readdirSync(at('listed'))
    fs.readdirSync(at('listed'))
    const before = await counts()
    expect(fs.readdirSync(at('listed'))).toEqual(['entry'])
    expect(await counts()).toEqual(before)
  })

  it('takes a name of 255 bytes and refuses one of 256 with ENAMETOOLONG', () => {
    fs.writeFileSync(at('n'.repeat(255)), 'long')
    expect(fs.readFileSync(at('n'.repeat(255)), 'utf8')).toBe('long')
    expect(() => fs.statSync(at('n'.repeat(256)))).toThrow(expect.objectContaining({ code: 'ENAMETOOLONG' }))
  })

  it('keeps names that are no UTF-8', (context) => {
    able(context, 'byteNames')
    const name = Buffer.concat([Buffer.from(`${server.target}/`), Buffer.from([0xff, 0xfe, 0x01])])
    fs.writeFileSync(name, 'bytes')
    const listed = fs.readdirSync(server.target, { encoding: 'buffer' })
    expect(listed.some((entry) => entry.equals(Buffer.from([0xff, 0xfe, 0x01])))).toBe(true)
    fs.unlinkSync(name)
  })

  it('makes hard links of one inode and counts them', () => {
    fs.writeFileSync(at('one'), 'linked')
    fs.linkSync(at('one'), at('two'))
    expect(fs.statSync(at('two')).ino).toBe(fs.statSync(at('one')).ino)
    expect(fs.statSync(at('one')).nlink).toBe(2)
    expect(fs.readFileSync(at('two'), 'utf8')).toBe('linked')
  })

  it('shows one link less at once when one of two names is removed', () => {
    fs.writeFileSync(at('stays'), '')
    fs.linkSync(at('stays'), at('goes'))
    fs.unlinkSync(at('goes'))
    expect(fs.statSync(at('stays')).nlink).toBe(1)
  })

  it('keeps the target of a symlink byte for byte, up to 4095', () => {
    const target = 't'.repeat(4095)
    fs.symlinkSync(target, at('link'))
    expect(fs.readlinkSync(at('link'))).toBe(target)
    expect(fs.lstatSync(at('link')).isSymbolicLink()).toBe(true)
  })

  it('shows no link of a file that is unlinked while open', () => {
    fs.writeFileSync(at('gone'), 'still here')
    const fd = fs.openSync(at('gone'), 'r')
    fs.unlinkSync(at('gone'))
    expect(fs.fstatSync(fd).nlink).toBe(0)
    fs.closeSync(fd)
  })

  it('keeps a file readable that is unlinked while open', () => {
    fs.writeFileSync(at('unlinked'), 'still here')
    const fd = fs.openSync(at('unlinked'), 'r')
    fs.unlinkSync(at('unlinked'))
    expect(fs.readFileSync(fd, 'utf8')).toBe('still here')
    fs.closeSync(fd)
    expect(fs.existsSync(at('unlinked'))).toBe(false)
  })

  it('keeps the handle of a file that a rename covers', () => {
    fs.writeFileSync(at('old'), 'old')
    fs.writeFileSync(at('new'), 'new')
    const fd = fs.openSync(at('old'), 'r')
    fs.renameSync(at('new'), at('old'))
    expect(fs.readFileSync(fd, 'utf8')).toBe('old')
    expect(fs.readFileSync(at('old'), 'utf8')).toBe('new')
    fs.closeSync(fd)
  })

  it('moves directories, and refuses to remove a full one', () => {
    fs.mkdirSync(at('dir', 'sub'), { recursive: true })
    fs.writeFileSync(at('dir', 'sub', 'file'), 'moved')
    expect(() => fs.rmdirSync(at('dir'))).toThrow(expect.objectContaining({ code: 'ENOTEMPTY' }))
    fs.renameSync(at('dir'), at('elsewhere'))
    expect(fs.readFileSync(at('elsewhere', 'sub', 'file'), 'utf8')).toBe('moved')
    fs.rmSync(at('elsewhere'), { recursive: true })
    expect(fs.existsSync(at('elsewhere'))).toBe(false)
  })

  it('sets modes and times, older than 1970 too', (context) => {
    able(context, 'times')
    fs.writeFileSync(at('times'), '')
    fs.chmodSync(at('times'), 0o4711)
    expect(fs.statSync(at('times')).mode & 0o7777).toBe(0o4711)
    fs.utimesSync(at('times'), new Date(-12_500), new Date(1_700_000_000_250))
    const stat = fs.statSync(at('times'))
    expect(stat.atimeMs).toBe(-12_500)
    expect(stat.mtimeMs).toBe(1_700_000_000_250)
  })

  it('applies the umask once', () => {
    execFileSync('sh', ['-c', 'umask 027; : > masked; mkdir masked.d'], { cwd: server.target })
    expect(fs.statSync(at('masked')).mode & 0o777).toBe(0o640)
    expect(fs.statSync(at('masked.d')).mode & 0o777).toBe(0o750)
  })

  it('holds extended attributes, and says how large they are', () => {
    fs.writeFileSync(at('attrs'), '')
    const script = [
      'import os, sys, errno',
      'f = sys.argv[1]',
      'os.setxattr(f, "user.a", b"\\x00value")',
      'assert os.getxattr(f, "user.a") == b"\\x00value"',
      'assert os.listxattr(f) == ["user.a"]',
      'os.removexattr(f, "user.a")',
      'assert os.listxattr(f) == []',
      'try: os.getxattr(f, "user.a"); sys.exit(1)',
      'except OSError as e: assert e.errno == errno.ENODATA',
    ].join('\n')
    execFileSync('python3', ['-c', script, at('attrs')])
  })

  it('exchanges two names in one step, and does not replace when told not to', (context) => {
    able(context, 'renameFlags')
    fs.writeFileSync(at('left'), 'left')
    fs.writeFileSync(at('right'), 'right')
    const script = [
      'import ctypes, os, sys',
      'c = ctypes.CDLL(None, use_errno=True)',
      'l, r = [p.encode() for p in sys.argv[1:]]',
      'assert c.renameat2(-100, l, -100, r, 2) == 0',
      'assert c.renameat2(-100, l, -100, r, 1) == -1 and ctypes.get_errno() == 17',
    ].join('\n')
    execFileSync('python3', ['-c', script, at('left'), at('right')])
    expect(fs.readFileSync(at('left'), 'utf8')).toBe('right')
    expect(fs.readFileSync(at('right'), 'utf8')).toBe('left')
  })

  it('allocates, seeks for data and copies between files', (context) => {
    able(context, 'fallocate', 'seekHole', 'copyFileRange')
    const script = [
      'import os, sys',
      'a = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)',
      'b = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)',
      'os.posix_fallocate(a, 0, 8192)',
      'assert os.fstat(a).st_size == 8192',
      'assert os.lseek(a, 10, os.SEEK_DATA) == 10 and os.lseek(a, 0, os.SEEK_HOLE) == 8192',
      'os.pwrite(a, b"copy me", 0)',
      'assert os.copy_file_range(a, b, 7, 0, 3) == 7',
      'assert os.pread(b, 20, 0) == b"\\0\\0\\0copy me"',
    ].join('\n')
    execFileSync('python3', ['-c', script, at('from'), at('to')])
  })

  it('waits for fsync, of files and of directories', async () => {
    const before = (await server.ask({ do: 'fsyncs' })) as number
    for (const name of ['synced', '.']) {
      const fd = name === '.' ? fs.openSync(server.target, 'r') : fs.openSync(at(name), 'w')
      fs.fsyncSync(fd)
      fs.closeSync(fd)
    }
    expect(await server.ask({ do: 'fsyncs' })).toBe(before + 2)
  })

  it('tells the size of the filesystem', () => {
    const stat = fs.statfsSync(server.target)
    expect([stat.bsize, stat.blocks, stat.bfree, stat.files, stat.ffree]).toEqual([4096, 1000, 900, 100, 90])
  })

  it('shows a change that it did not make once the notice has arrived', async (context) => {
    able(context, 'notices')
    fs.writeFileSync(at('behind'), 'before')
    expect(fs.readFileSync(at('behind'), 'utf8')).toBe('before')
    await server.ask({ do: 'replace', name: 'behind', contents: 'after, and longer' })
    await server.ask({ do: 'sent' })
    expect(fs.readFileSync(at('behind'), 'utf8')).toBe('after, and longer')
    await server.ask({ do: 'remove', name: 'behind' })
    await server.ask({ do: 'sent' })
    expect(fs.existsSync(at('behind'))).toBe(false)
    await server.ask({ do: 'add', name: 'behind' })
    await server.ask({ do: 'sent' })
    expect(fs.statSync(at('behind')).size).toBe(0)
  })

  it('drops every reference when the kernel forgets', async () => {
    const before = (await server.ask({ do: 'nodes' })) as number
    fs.mkdirSync(at('forgotten'))
    for (let i = 0; i < 50; i++) fs.writeFileSync(at('forgotten', `${i}`), 'x')
    fs.rmSync(at('forgotten'), { recursive: true })
    // FORGET has no reply, and later requests may be handed over before it.
    await expect.poll(() => server.ask({ do: 'nodes' })).toBe(before)
  })

  it('answers its thread while it is spinning and while it sleeps', async () => {
    fs.statfsSync(server.target)
    expect(await server.ask({ do: 'echo' })).toBe('echo')
  })

  it('asks for FLUSH and OPENDIR once at most', async (context) => {
    if (!full) lacks(context, 'a count of requests')
    const seen = await counts()
    expect(seen[Opcode.FLUSH]).toBeLessThanOrEqual(1)
    expect(seen[Opcode.OPENDIR]).toBeLessThanOrEqual(1)
    expect(seen[Opcode.ACCESS]).toBe(0)
  })

  it('logged nothing', () => {
    expect(server.logged).toEqual([])
  })
})
