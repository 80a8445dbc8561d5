import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  digestOf,
  type ImageParts,
  json,
  partsOf,
  writeDockerArchive,
  writeOciArchive,
  writeTar,
} from '../../../test/fixtures/engines/image-files.ts'
import { MAX_ARCHIVE_ENTRIES, MAX_IMAGE_JSON_BYTES, MAX_IMAGE_LAYERS } from '../limits.ts'
import { openImageArchive } from './image-archive.ts'
import { tarEnd, tarHeader } from './tar-write.ts'

const LAYER = Buffer.concat([tarHeader('hello', 0), tarEnd()])

describe('an archive of an image', () => {
  let dir: string
  let path: string
  let parts: ImageParts

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'croft-archives-'))
    path = join(dir, 'image.tar')
    parts = partsOf(LAYER)
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  const open = (at = path, maxImageBytes = 1 << 20) => openImageArchive(at, { roots: [dir], maxImageBytes })
  const opened = async (at = path) => {
    const archive = await open(at)
    const content = await buffer(archive.read(undefined)).finally(() => archive.close())
    return { id: archive.id, content }
  }
  const saved = (more: Record<string, Buffer> = {}) => ({
    'manifest.json': json([{ Config: 'c.json', RepoTags: null, Layers: ['l.tar'] }]),
    'c.json': parts.config,
    'l.tar': LAYER,
    ...more,
  })

  it.each([
    ['docker save', writeDockerArchive],
    ['an OCI layout', writeOciArchive],
  ])('of %s is handed on as one with no name, its layers unpacked', async (_, write) => {
    await write(path, parts)
    const { id, content } = await opened()
    expect(id).toBe(digestOf(parts.config))
    const { stdout } = await execa('tar', ['-tvf', '-'], { input: content, timeout: 10_000 })
    expect(stdout.split('\n').map((line) => line.split(/\s+/).at(-1))).toEqual([
      'manifest.json',
      'config.json',
      '0.tar',
    ])
    expect(content.includes(LAYER)).toBe(true)
    expect(content.includes('stolen')).toBe(false)
  })

  it('names its members as GNU and POSIX write long ones, by links, and with a dot before them', async () => {
    const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`
    for (const format of ['gnu', 'pax', 'ustar']) {
      const root = mkdtempSync(join(dir, 'root-'))
      mkdirSync(join(root, long, '..'), { recursive: true })
      writeFileSync(join(root, 'c.json'), parts.config)
      if (format === 'ustar') writeFileSync(join(root, 'real'), LAYER)
      else writeFileSync(join(root, long), LAYER)
      symlinkSync(format === 'ustar' ? 'real' : long, join(root, 'link'))
      writeFileSync(join(root, 'manifest.json'), json([{ Config: './c.json', Layers: ['link'] }]))
      const members = format === 'ustar' ? ['./c.json', './real', './link', './manifest.json'] : ['.']
      await execa('tar', ['-C', root, `--format=${format}`, '-cf', path, ...members], { timeout: 10_000 })
      expect((await opened()).id).toBe(digestOf(parts.config))
    }
  })

  it('takes what the manifest says of this machine’s platform from an index in the index', async () => {
    const blob = (content: Buffer) => [`blobs/${digestOf(content).replace(':', '/')}`, content] as const
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch
    const other = { digest: digestOf(json('other')), platform: { os: 'linux', architecture: 'riscv64' } }
    const inner = json({
      manifests: [other, { digest: digestOf(parts.manifest), platform: { os: 'linux', architecture } }],
    })
    await writeTar(path, {
      'index.json': json({ manifests: [{ digest: digestOf(inner) }] }),
      ...Object.fromEntries([inner, parts.manifest, parts.config, parts.layer].map(blob)),
    })
    expect((await opened()).id).toBe(digestOf(parts.config))
    await writeTar(path, { 'index.json': json({ manifests: [other, other] }) })
    await expect(open()).rejects.toThrow(`0 are for linux/${architecture}`)
  })

  it('that unpacks to more than it may is refused before anything of it is sent', async () => {
    const bomb = partsOf(Buffer.alloc(8 << 20))
    expect(bomb.layer.length).toBeLessThan(64 << 10)
    await writeOciArchive(path, bomb)
    await expect(open(path, (8 << 20) - 1)).rejects.toThrow(`more than ${(8 << 20) - 1} bytes`)
    await (await open(path, 8 << 20)).close()
  })

  it('that changes while it is read is no image, and says so', async () => {
    await writeTar(path, saved({ 'l.tar': gzipSync(LAYER) }))
    const archive = await open()
    await writeTar(path, saved({ 'l.tar': gzipSync(Buffer.concat([LAYER, LAYER])) }))
    await expect(buffer(archive.read(undefined))).rejects.toThrow()
    await archive.close()
  })

  it.each([
    ['no tar', () => Buffer.from('x'.repeat(2000)), 'is no tar archive'],
    ['a compressed one', () => gzipSync(Buffer.alloc(4096, 'x'), { level: 0 }), 'gunzip it first'],
    ['one cut short', () => Buffer.concat([tarHeader('manifest.json', 4096), Buffer.alloc(512)]), 'is cut short'],
    ['nothing', () => Buffer.alloc(0), 'no manifest.json and no index.json'],
    ['sizes that are none', () => evil((header) => header.write('-0000000001\0', 124)), 'is cut short'],
    ['sizes beyond all', () => evil((header) => header.fill(0xff, 124, 136)), 'is cut short'],
  ])('that is %s is refused', async (_, make, message) => {
    writeFileSync(path, make())
    await expect(open()).rejects.toThrow(message)
  })

  it.each([
    [
      'a member that is not there',
      { 'manifest.json': json([{ Config: '../../etc/passwd', Layers: [] }]) },
      'lacks its part',
    ],
    [
      'several images',
      {
        'manifest.json': json([
          { Config: 'c.json', Layers: [] },
          { Config: 'c.json', Layers: [] },
        ]),
      },
      '2 images',
    ],
    ['no JSON', { 'manifest.json': Buffer.from('{') }, 'no JSON'],
    ['another form', { 'manifest.json': json({ a: 1 }) }, 'no image that can be used'],
    ['layers packed with zstd', { 'l.tar': Buffer.from('28b52ffd00', 'hex') }, 'zstd'],
    ['a damaged layer', { 'l.tar': Buffer.from('1f8b0800000000', 'hex') }, 'damaged'],
    [
      'a description over the limit',
      { 'manifest.json': Buffer.alloc(MAX_IMAGE_JSON_BYTES + 1, ' ') },
      'description of more',
    ],
    [
      'layers over the limit',
      { 'manifest.json': json([{ Config: 'c.json', Layers: Array(MAX_IMAGE_LAYERS + 1).fill('l.tar') }]) },
      `${MAX_IMAGE_LAYERS} are the most`,
    ],
  ])('with %s is refused', async (_, more, message) => {
    await writeTar(path, saved(more))
    await expect(open()).rejects.toThrow(message)
  })

  it('whose parts are not what their digests say is refused', async () => {
    const [config] = [json({ rootfs: {} })]
    const lying = { ...parts, config }
    const blobs = [parts.manifest, parts.layer].map((content) => [
      `blobs/${digestOf(content).replace(':', '/')}`,
      content,
    ])
    await writeTar(path, {
      'index.json': json({ manifests: [{ digest: digestOf(parts.manifest) }] }),
      ...Object.fromEntries(blobs),
      [`blobs/${digestOf(parts.config).replace(':', '/')}`]: lying.config,
    })
    await expect(open()).rejects.toThrow('is not what its name says')
  })

  it('has as many members as it may, and no more', async () => {
    const members = (count: number) =>
      Buffer.concat([...Array.from({ length: count }, (_, index) => tarHeader(`m${index}`, 0)), tarEnd()])
    writeFileSync(path, members(MAX_ARCHIVE_ENTRIES))
    await expect(open()).rejects.toThrow('no manifest.json')
    writeFileSync(path, members(MAX_ARCHIVE_ENTRIES + 1))
    await expect(open()).rejects.toThrow(`more than ${MAX_ARCHIVE_ENTRIES} members`)
  })

  it('must be a file, below a root', async () => {
    await execa('mkfifo', [join(dir, 'fifo')], { timeout: 10_000 })
    await expect(open(join(dir, 'fifo'))).rejects.toThrow('is no file')
    await expect(open(dir)).rejects.toThrow('is not below')
    await expect(open(join(dir, 'none.tar'))).rejects.toThrow('ENOENT')
    await expect(openImageArchive(path, { roots: [], maxImageBytes: 1 })).rejects.toThrow('names no directory')
  })
})

function evil(change: (header: Buffer) => void): Buffer {
  const header = tarHeader('manifest.json', 0)
  change(header)
  header.write('        ', 148)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, tarEnd()])
}
