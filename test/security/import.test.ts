import { execFileSync } from 'node:child_process'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { tarEnd, tarHeader, tarPadding } from '../../fs-layer/archive/tar-header.ts'
import type { UnpackOptions } from '../../fs-layer/archive/unpack.ts'
import { list } from '../../fs-layer/store/lookup.ts'
import { collect } from '../fixtures/collect.ts'
import { type TemporaryStore, temporaryStore } from '../fixtures/temporary-store.ts'
import { unpackBytes } from '../fixtures/unpack-bytes.ts'
import { versionOf } from '../fixtures/version-of.ts'
import { needs } from '../needs.ts'

let temporary: TemporaryStore

beforeEach(async () => {
  temporary = await temporaryStore()
})

afterEach(() => temporary[Symbol.asyncDispose]())

type Kind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo'

/** An entry that our own encoder would not make: its name is put in afterwards. */
function entry(path: string, kind: Kind = 'file', target?: string, contents = ''): Buffer {
  const plain = { mode: 0o644, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0 }
  const needed = target === undefined ? {} : { target: 'x'.repeat(Math.min(target.length, 100)) }
  const header = tarHeader({ ...plain, path: 'x', kind, size: contents.length, ...needed })
  header.fill(0, 0, 100)
  header.write(path, 0, 'latin1')
  if (target !== undefined) header.write(target, 157, 'latin1')
  return Buffer.concat([summed(header), Buffer.from(contents), tarPadding(contents.length)])
}

function device(path: string, type: '3' | '4'): Buffer {
  const header = entry(path)
  header.write(type, 156)
  return summed(header)
}

function summed(header: Buffer): Buffer {
  header.fill(' ', 148, 156)
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0`, 148)
  return header
}

const tar = (...entries: readonly Buffer[]) => Buffer.concat([...entries, tarEnd()])
const refused = (bytes: Buffer, options: Partial<UnpackOptions> & { format?: 'oci-layer' | 'oci-image' } = {}) =>
  expect(unpackBytes(temporary, bytes, options)).rejects

describe('an archive', () => {
  test.each([
    ['a name with ".."', [entry('a/../../etc/passwd')], '"a/../../etc/passwd"'],
    ['a name that is ".."', [entry('..')], '".."'],
    ['an absolute name', [entry('/etc/passwd')], '"/etc/passwd"'],
    ['a link, and a file behind it', [entry('out', 'symlink', '/etc'), entry('out/passwd')], '"out/passwd"'],
    ['a link in place of a directory', [entry('d/f'), entry('d', 'symlink', '/etc')], '"d"'],
    ['a hard link to outside', [entry('twin', 'hardlink', '/etc/passwd')], '"/etc/passwd"'],
    ['a hard link above', [entry('twin', 'hardlink', '../../etc/passwd')], '"../../etc/passwd"'],
    ['a hard link to nothing', [entry('twin', 'hardlink', 'nowhere')], '"twin"'],
    ['a hard link to a link', [entry('l', 'symlink', '/etc/passwd'), entry('twin', 'hardlink', 'l')], '"twin"'],
    ['a character device', [device('dev/null', '3')], '"dev/null"'],
    ['a block device', [device('dev/sda', '4')], '"dev/sda"'],
    ['a FIFO', [entry('pipe', 'fifo')], '"pipe"'],
    ['a name twice', [entry('f'), entry('./f')], '"f"'],
    ['a directory twice', [entry('d', 'directory'), entry('d/', 'directory')], '"d"'],
    ['a file with something in it', [entry('f'), entry('f/in')], '"f/in"'],
    ['a root that is a file', [entry('.')], 'root'],
    ['a name that is too long', [entry(`d/${'n'.repeat(50)}`), longName('n'.repeat(256))], 'A name over 255 bytes'],
    ['a path that is too long', [longName(Array(2500).fill('d').join('/'))], 'A path over 4096 bytes'],
  ])('with %s is refused, and says of which entry', async (_, entries, named) => {
    await refused(tar(entry('before'), ...entries)).toThrow(named)
  })

  test('with a link out of its tree has it as a link: nobody follows it', async () => {
    const version = await unpackBytes(temporary, tar(entry('out', 'symlink', '../../../../etc/passwd')))
    const [found] = await collect(list(temporary.store, version, '', true))
    expect(found?.entry).toMatchObject({ kind: 'symlink', target: '../../../../etc/passwd' })
  })

  test('with names that are no UTF-8 has them as they are', async () => {
    const version = await unpackBytes(temporary, tar(entry('\xff\xfe\x01')))
    expect((await collect(list(temporary.store, version, '', true))).map(({ path }) => path)).toEqual(['\xff\xfe\x01'])
  })

  test('that is cut off anywhere is refused', async () => {
    const bytes = tar(entry('a', 'file', undefined, 'x'.repeat(1000)), entry('b'))
    for (const length of [1, 511, 512, 600, 1536, 1800, 2048]) {
      await expect(unpackBytes(temporary, bytes.subarray(0, length)), String(length)).rejects.toThrow()
    }
    const packed = gzipSync(bytes)
    for (const length of [10, 30, packed.length - 1]) {
      await refused(packed.subarray(0, length)).toMatchObject({ code: 'truncated' })
    }
  })

  test('of which a byte was changed is refused where it has a sum', async () => {
    const bytes = gzipSync(tar(entry('a', 'file', undefined, 'abcdefgh'.repeat(100))), { level: 0 })
    bytes[700] = (bytes[700] ?? 0) ^ 1
    await refused(bytes).toMatchObject({ code: 'damaged' })
    const header = tar(entry('a'))
    header[5] = 1
    await refused(header, { format: 'oci-layer' }).toMatchObject({ code: 'damaged' })
  })
})

describe('a bomb', () => {
  const zeros = (mebibytes: number) => entry('zeros', 'file', undefined, '\0'.repeat(mebibytes * 2 ** 20))

  test('of zeros is refused at the ratio, by name, and one below it is not', async () => {
    const bytes = gzipSync(tar(zeros(8)))
    const ratio = Math.floor((8 * 2 ** 20) / bytes.length)
    await refused(bytes, { maxRatio: ratio - 50 }).toThrow(/times as large when unpacked.*"zeros"/)
    await unpackBytes(temporary, bytes, { maxRatio: ratio + 50 })
    await unpackBytes(temporary, bytes, { maxRatio: 1, freeBytes: 9 * 2 ** 20 })
  })

  test('that says it is a terabyte is refused before it is one', async (context) => {
    await needs(context, 'python3', 'zstd')
    // The header alone, and zeros without end behind it.
    const header = tarHeader({
      path: 'tera',
      kind: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 0,
      mtimeNsec: 0,
      size: 2 ** 40,
    })
    const stream = Buffer.concat([header, Buffer.alloc(64 * 2 ** 20)])
    for (const bytes of [gzipSync(stream), execFileSync('zstd', ['-q', '-c'], { input: stream, maxBuffer: 2 ** 26 })]) {
      await refused(bytes, { maxFileBytes: 2 ** 39 }).toThrow('"tera"')
      await refused(bytes, { maxBytes: 2 ** 20 }).toThrow(/More than 1048576 bytes.*"tera"/)
      await refused(bytes, { maxRatio: 100 }).toThrow('"tera"')
    }
    const script = `
import sys, zipfile, io
out = io.BytesIO()
z = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED)
for n in range(4): z.writestr(f'z{n}', b'\\0' * (8 << 20))
z.close()
sys.stdout.buffer.write(out.getvalue())`
    const zip = execFileSync('python3', ['-c', script], { maxBuffer: 2 ** 26 })
    await refused(zip, { maxRatio: 500 }).toThrow(/times as large.*"z\d"/)
    await refused(zip, { maxBytes: 20 * 2 ** 20 }).toThrow('"z2"')
  })

  test('of entries is refused at one more than the limit', async () => {
    const entries = Array.from({ length: 10 }, (_, at) => entry(`f${at}`))
    await unpackBytes(temporary, tar(...entries), { maxEntries: 10 })
    await refused(tar(...entries), { maxEntries: 9 }).toThrow('"f9"')
    await refused(tar(entry('a/b/c/d/e/f')), { maxEntries: 5 }).toThrow('More than 5 entries')
  })

  test('of names is refused', async () => {
    const header = tarHeader({
      path: 'n'.repeat(101),
      kind: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      mtime: 0,
      mtimeNsec: 0,
      size: 0,
    })
    header.write('77777777777', 124)
    await refused(Buffer.concat([summed(header), tarEnd()])).toThrow('Names and times of one entry')
  })
})

describe('a zip', () => {
  test.each([
    ['a name with ".."', "z.writestr('../../etc/passwd', 'x')", '"../../etc/passwd"'],
    ['an absolute name', "z.writestr('/etc/passwd', 'x')", '"/etc/passwd"'],
    ['a name twice', "z.writestr('f', 'x'); z.writestr('f', 'y')", '"f"'],
    [
      'a device',
      "i = zipfile.ZipInfo('d'); i.create_system = 3; i.external_attr = 0o020644 << 16; z.writestr(i, '')",
      '"d"',
    ],
    [
      'a file behind a link',
      "i = zipfile.ZipInfo('l'); i.create_system = 3; i.external_attr = 0o120777 << 16; z.writestr(i, '/etc'); z.writestr('l/passwd', 'x')",
      '"l/passwd"',
    ],
    ['a name of its own beside that of the directory', "z.writestr('safe', 'x'); twist = (b'safe', b'evil')", '"safe"'],
    ['other contents than it says', "z.writestr('f', 'contents'); twist = (b'contents', b'c0ntents')", '"f"'],
    ['a compression that we do not read', "z.writestr('f', 'x' * 99, zipfile.ZIP_LZMA)", '"f"'],
  ])('with %s is refused, and says of which entry', async (_, line, named) => {
    const script = `
import io, sys, warnings, zipfile
warnings.simplefilter('ignore')
out, twist = io.BytesIO(), None
z = zipfile.ZipFile(out, 'w')
${line}
z.close()
bytes = out.getvalue()
if twist: bytes = bytes.replace(*twist, 1)
sys.stdout.buffer.write(bytes)`
    await refused(execFileSync('python3', ['-c', script])).toThrow(named)
  })

  test('that is cut off, or is nothing, is refused', async () => {
    const zip = execFileSync('python3', [
      '-c',
      "import io, sys, zipfile; o = io.BytesIO(); z = zipfile.ZipFile(o, 'w'); z.writestr('f', 'x' * 5000); z.close(); sys.stdout.buffer.write(o.getvalue())",
    ])
    for (const length of [4, 100, 5000, zip.length - 1]) await refused(zip.subarray(0, length)).toThrow(/zip|archive/)
    await refused(Buffer.from('no archive at all')).toMatchObject({ code: 'unsupported' })
    await refused(Buffer.alloc(0)).toMatchObject({ code: 'unsupported' })
  })
})

describe('a layer', () => {
  test('takes away what it names and nothing else', async () => {
    const base = await versionOf(temporary.store, { 'd/a': 'a', 'd/b': 'b', f: 'f' })
    const paths = async (bytes: Buffer) => {
      const version = await unpackBytes(temporary, bytes, { format: 'oci-layer', base })
      return (await collect(list(temporary.store, version, '', true))).map(({ path }) => path)
    }
    expect(await paths(tar(entry('d/.wh.a')))).toEqual(['d', 'd/b', 'f'])
    expect(await paths(tar(entry('d/new'), entry('d/.wh..wh..opq')))).toEqual(['d', 'd/new', 'f'])
    expect(await paths(tar(entry('.wh.no/such')))).toEqual(['.wh.no', '.wh.no/such', 'd', 'd/a', 'd/b', 'f'])
    await refused(tar(entry('d/.wh...')), { format: 'oci-layer', base }).toThrow('"d/.wh..."')
    await refused(tar(entry('.wh.')), { format: 'oci-layer', base }).toThrow('".wh."')
  })
})

describe('an image', () => {
  const blob = (text: string) => {
    const digest = execFileSync('sha256sum', { input: text, encoding: 'utf8' }).slice(0, 64)
    return {
      digest: `sha256:${digest}`,
      size: text.length,
      entry: entry(`blobs/sha256/${digest}`, 'file', undefined, text),
    }
  }

  test('whose layer is not what its digest says is refused', async () => {
    const layer = blob(tar(entry('f')).toString('latin1'))
    const config = blob('{}')
    const wrong = { ...layer, digest: blob('other').digest }
    for (const named of [layer, wrong]) {
      const manifest = blob(JSON.stringify({ config, layers: [named] }))
      const index = entry('index.json', 'file', undefined, JSON.stringify({ manifests: [manifest] }))
      const bytes = tar(
        entry('oci-layout'),
        index,
        config.entry,
        manifest.entry,
        layer.entry,
        entry(
          `blobs/sha256/${named.digest.slice(7)}`.replace(layer.digest.slice(7), 'spare'),
          'file',
          undefined,
          'not that',
        ),
      )
      if (named === layer) await unpackBytes(temporary, bytes)
      else await refused(bytes).toMatchObject({ code: 'damaged' })
    }
  })

  test('that names itself, or what is not there, is refused', async () => {
    const index = (value: unknown) =>
      tar(entry('oci-layout'), entry('index.json', 'file', undefined, JSON.stringify(value)))
    await refused(index({ manifests: [{ digest: blob('gone').digest, size: 1 }] })).toThrow('lacks')
    await refused(index({ manifests: [{ digest: 'sha256:../../../etc/passwd', size: 1 }] })).toThrow('digest')
    await refused(index([])).toMatchObject({ code: 'damaged' })
    await refused(tar(entry('oci-layout'))).toMatchObject({ code: 'unsupported' })
  })
})

/** As GNU has it. */
function longName(name: string): Buffer {
  const record = entry('././@LongLink', 'file', undefined, `${name}\0`)
  record.write('L', 156)
  return Buffer.concat([summed(record), entry('short')])
}

describe('a patch', () => {
  const make = (path: string, more = '') =>
    `diff --git a/${path} b/${path}\nnew file mode 100644\n--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+x\n${more}`
  const change = (path: string, from: string) =>
    `diff --git a/${path} b/${path}\n--- a/${path}\n+++ b/${path}\n@@ -1 +1 @@\n-${from}\n+y\n`

  test.each([
    ['writes outside', make('../../etc/passwd'), '"../../etc/passwd"'],
    ['writes to an absolute name', make('/etc/passwd'), '"/etc/passwd"'],
    ['writes behind a link', make('out/passwd'), '"out/passwd"'],
    [
      'makes a link and writes behind it',
      `diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n${make('l/passwd')}`,
      '"l/passwd"',
    ],
    [
      'moves something outside',
      'diff --git a/f b/../f\nsimilarity index 100%\nrename from f\nrename to ../f\n',
      '"../f"',
    ],
    [
      'moves something in from outside',
      'diff --git a/../f b/f\nsimilarity index 100%\nrename from ../f\nrename to g\n',
      '"../f"',
    ],
    ['writes what git runs', make('.git/hooks/post-checkout'), '".git/hooks/post-checkout"'],
    ['changes what is not there', change('none', 'x'), '"none"'],
    ['changes what is another', change('f', 'other'), '"f"'],
    ['changes a link as a file', change('out', 'other'), '"out"'],
    ['makes what is there', make('f'), '"f"'],
    ['makes a thing twice', make('n', make('n')), '"n"'],
    ['is cut off', make('n').slice(0, -3), 'patch'],
    ['has lines that are none', make('n', 'and more\n'), 'Line 7'],
    ['is none', 'hello\n', 'no patch'],
    [
      'says that it is a terabyte',
      'diff --git a/n b/n\nnew file mode 100644\nGIT binary patch\nliteral 1099511627776\n',
      'binary part',
    ],
  ])('that %s is refused, and says of what', async (_, patch, named) => {
    const base = await versionOf(temporary.store, { f: 'f\n', out: { link: '/etc' } })
    await expect(unpackBytes(temporary, Buffer.from(patch), { format: 'patch', base })).rejects.toThrow(named)
  })
})
