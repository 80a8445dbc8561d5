import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { codebaseWith, uploadFile } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

let dir: string
let server: ServerProcess
let wire: Wire

beforeAll(async () => {
  if (!(await has('root')) || !(await has('fuse')) || !(await has('bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir, '--limit', 'pageSizeMax=3', '--limit', 'maxUnaryOutputBytes=1000')
  wire = server.wire
})

afterAll(async () => {
  if (server === undefined) return
  const code = await server.end('SIGTERM')
  const left = server.mounts()
  removeServerDir(dir)
  expect({ code, left }).toEqual({ code: 0, left: [] })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const bytes = (text: string) => Buffer.from(text)

async function download(codebaseId: string, filePath: string): Promise<string> {
  const chunks = await collect(wire.codebases.downloadFile({ codebaseId, filePath }))
  return Buffer.concat(chunks.map(({ data }) => data)).toString()
}

describe('codebases', () => {
  it('a file that was uploaded is listed, counted and downloaded as it was', async () => {
    const id = await codebaseWith(wire, {})
    const result = await uploadFile(wire, id, 'src/deep/a.txt', 'hello')
    expect(result).toMatchObject({ codebaseId: id, filePath: 'src/deep/a.txt', size: 5n })
    expect(result.checksum).toBe(createHash('md5').update('hello').digest('hex'))
    expect(await download(id, 'src/deep/a.txt')).toBe('hello')
    expect(await wire.codebases.getCodebase({ codebaseId: id })).toMatchObject({ size: 5n, fileCount: 1 })
    const { files } = await wire.codebases.listFiles({ codebaseId: id, recursive: true })
    expect(files.map(({ path, isDir }) => [path, isDir])).toEqual([
      ['src', true],
      ['src/deep', true],
      ['src/deep/a.txt', false],
    ])
    const flat = await wire.codebases.listFiles({ codebaseId: id, path: 'src' })
    expect(flat.files.map(({ path, name }) => [path, name])).toEqual([['src/deep', 'deep']])
  })

  it('an empty file and one of several megabytes go through', async () => {
    const id = await codebaseWith(wire, {})
    await uploadFile(wire, id, 'empty', '')
    const piece = 'x'.repeat(1 << 20)
    const large = await wire.codebases.uploadFiles([
      { content: { case: 'metadata', value: { codebaseId: id, filePath: 'large', totalSize: BigInt(5 << 20) } } },
      ...Array.from({ length: 5 }, () => ({ content: { case: 'data' as const, value: bytes(piece) } })),
    ])
    expect(large.size).toBe(BigInt(5 << 20))
    expect(await download(id, 'empty')).toBe('')
    expect(await download(id, 'large')).toBe(piece.repeat(5))
  })

  it('two uploads to one path at once both succeed, and one of them is what is there', async () => {
    const id = await codebaseWith(wire, {})
    const contents = ['a'.repeat(100_000), 'b'.repeat(50_000)]
    await Promise.all(contents.map((content) => uploadFile(wire, id, 'x', content)))
    expect(contents).toContain(await download(id, 'x'))
  })

  it('many uploads at once to different paths are all there', async () => {
    const id = await codebaseWith(wire, {})
    const paths = Array.from({ length: 20 }, (_, index) => `d${index % 3}/f${index}`)
    await Promise.all(paths.map((path) => uploadFile(wire, id, path, path)))
    const { files } = await wire.codebases.listFiles({ codebaseId: id, recursive: true })
    expect(files.flatMap(({ path, isDir }) => (isDir ? [] : [path])).toSorted()).toEqual(paths.toSorted())
  })

  it('an upload that is cut half-way leaves nothing', async () => {
    const id = await codebaseWith(wire, { x: 'before' })
    const cut = wire.codebases.uploadFiles(
      [
        { content: { case: 'metadata', value: { codebaseId: id, filePath: 'x', totalSize: 10n } } },
        { content: { case: 'data', value: bytes('half-') } },
      ],
      true,
    )
    expect((await refusal(cut)).code).toBe('CANCELLED')
    expect(await download(id, 'x')).toBe('before')
  })

  it.each([
    ['too few bytes', 'x', 6, 'metadata.total_size'],
    ['too many bytes', 'x', 4, 'metadata.total_size'],
    ['a negative size', 'x', -1, 'metadata.total_size'],
    ['a way up', '../x', 5, 'metadata.file_path'],
    ['an absolute path', '/etc/passwd', 5, 'metadata.file_path'],
    ['a NUL', 'a\0b', 5, 'metadata.file_path'],
    ['an empty name', 'a//b', 5, 'metadata.file_path'],
    ['no path', '', 5, 'metadata.file_path'],
    ['a name of 256 bytes', 'x'.repeat(256), 5, 'metadata.file_path'],
  ])('an upload with %s is refused by its field and changes nothing', async (_, path, size, field) => {
    const id = await codebaseWith(wire, {})
    expect(await refusal(uploadFile(wire, id, path, 'hello', size))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect((await wire.codebases.listFiles({ codebaseId: id, recursive: true })).files).toEqual([])
  })

  it('a file where a directory is, and the reverse, are refused', async () => {
    const id = await codebaseWith(wire, { 'd/f': 'x' })
    expect((await refusal(uploadFile(wire, id, 'd', 'x'))).code).toBe('INVALID_ARGUMENT')
    expect((await refusal(uploadFile(wire, id, 'd/f/g', 'x'))).code).toBe('INVALID_ARGUMENT')
  })

  it('data before metadata, and metadata twice, are refused', async () => {
    const id = await codebaseWith(wire, {})
    const metadata = { content: { case: 'metadata' as const, value: { codebaseId: id, filePath: 'x', totalSize: 1n } } }
    const data = { content: { case: 'data' as const, value: bytes('x') } }
    for (const messages of [[data, metadata], [metadata, metadata], []]) {
      expect(await refusal(wire.codebases.uploadFiles(messages))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'metadata',
      })
    }
  })

  it('pages of codebases follow one another, and the size has a maximum', async () => {
    const { id: owner } = await wire.codebases.createCodebase({ name: 'x', ownerId: 'paging' })
    const made = [owner]
    for (let index = 0; index < 4; index++)
      made.push((await wire.codebases.createCodebase({ name: 'x', ownerId: 'paging' })).id)
    const first = await wire.codebases.listCodebases({ ownerId: 'paging', pageSize: 100 })
    expect(first.codebases).toHaveLength(3)
    const second = await wire.codebases.listCodebases({ ownerId: 'paging', pageToken: first.nextPageToken })
    expect([...first.codebases, ...second.codebases].map(({ id }) => id)).toEqual(made)
    expect(second.nextPageToken).toBe('')
    const bad = wire.codebases.listCodebases({ pageToken: 'nonsense' })
    expect(await refusal(bad)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'page_token' })
  })

  it('one that a sandbox uses is not deleted; without it, it is gone', async () => {
    const codebaseId = await codebaseWith(wire, { a: 'x' })
    const { id } = await wire.sandboxes.createSandbox({ codebaseId })
    const refused = await refusal(wire.codebases.deleteCodebase({ codebaseId }))
    expect(refused).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'codebase_in_use' })
    expect(refused.details).toContain(id)
    await wire.sandboxes.destroySandbox({ sandboxId: id })
    await wire.codebases.deleteCodebase({ codebaseId })
    expect((await refusal(wire.codebases.getCodebase({ codebaseId }))).code).toBe('NOT_FOUND')
  })

  it.each([
    ['no name', { name: '' }, 'name'],
    ['a name of blanks', { name: '  ' }, 'name'],
    ['a name with a control character', { name: 'a\nb' }, 'name'],
    ['a name over 256 bytes', { name: 'x'.repeat(257) }, 'name'],
    ['an owner over 256 bytes', { name: 'x', ownerId: 'x'.repeat(257) }, 'owner_id'],
  ])('%s is refused', async (_, request, field) => {
    expect(await refusal(wire.codebases.createCodebase(request))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  it('a name of 256 bytes is taken', async () => {
    expect((await wire.codebases.createCodebase({ name: 'x'.repeat(256) })).name).toHaveLength(256)
  })
})

describe('a tree by its hashes', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest()
  const file = (path: string, content: string, size = Buffer.byteLength(content)) => ({
    path: bytes(path),
    mode: 0o644,
    mtimeNs: 1_000_000_001n,
    kind: { case: 'file' as const, value: { size: BigInt(size), sha256: sha256(content) } },
  })
  const directory = (path: string) => ({
    path: bytes(path),
    mode: 0o755,
    kind: { case: 'directory' as const, value: {} },
  })

  function put(entries: Parameters<ReturnType<typeof wire.codebases.putTree>['send']>[0][] | object[], start: object) {
    const call = wire.codebases.putTree()
    call.send({ message: { case: 'start', value: start } })
    call.send({ message: { case: 'entries', value: { entries: entries as never } } })
    call.send({ message: { case: 'endEntries', value: {} } })
    return call
  }

  it('only what is missing is sent, and the second time that is nothing', async () => {
    const contents = ['one', 'two', 'x'.repeat(100_000)]
    const entries = [directory('d'), ...contents.map((content, index) => file(`d/${index}`, content))]
    const call = put(entries, { name: 'tree' })
    const missing = await call.next()
    expect(missing?.message).toMatchObject({ case: 'missing', value: { last: true } })
    for (const content of contents) {
      call.send({ message: { case: 'blob', value: { sha256: sha256(content), size: BigInt(content.length) } } })
      call.send({ message: { case: 'data', value: bytes(content) } })
    }
    call.send({ message: { case: 'finish', value: {} } })
    const done = await call.next()
    call.end()
    expect(done?.message).toMatchObject({ case: 'done', value: { files: 3n, blobsReceived: 3n } })
    expect(await call.next()).toBeUndefined()
    if (done?.message.case !== 'done' || done.message.value.codebase === undefined) throw new Error('no codebase')
    const { id, rootHash } = done.message.value.codebase
    expect(await download(id, 'd/2')).toBe(contents[2])

    const again = put(entries, { codebaseId: id })
    expect((await again.next())?.message).toMatchObject({ case: 'missing', value: { sha256: [], last: true } })
    again.send({ message: { case: 'finish', value: {} } })
    const same = await again.next()
    again.end()
    expect(same?.message).toMatchObject({ case: 'done', value: { blobsReceived: 0n, codebase: { id, rootHash } } })
  })

  it.each([
    ['a path with ..', [file('../x', 'x')]],
    ['a missing parent', [file('no/x', 'x')]],
    ['a path twice', [file('x', 'x'), file('x', 'x')]],
    ['a file as a directory', [file('x', 'x'), file('x/y', 'x')]],
    [
      'a hash of another length',
      [{ ...file('x', 'x'), kind: { case: 'file', value: { size: 1n, sha256: bytes('x') } } }],
    ],
    ['no kind', [{ path: bytes('x') }]],
  ])('%s is refused', async (_, entries) => {
    const call = put(entries, { name: 'tree' })
    expect((await refusal(call.next())).code).toBe('INVALID_ARGUMENT')
  })

  it('a blob with other contents than its hash, or another size, is refused and no codebase is made', async () => {
    const before = (await wire.codebases.listCodebases({ ownerId: 'liar' })).codebases
    for (const sent of ['yyy', 'xy']) {
      const call = put([file('f', `content ${sent}`, sent.length)], { name: 'tree', ownerId: 'liar' })
      await call.next()
      call.send({ message: { case: 'blob', value: { sha256: sha256(`content ${sent}`), size: BigInt(sent.length) } } })
      call.send({ message: { case: 'data', value: bytes(sent) } })
      call.send({ message: { case: 'finish', value: {} } })
      expect((await refusal(call.next())).code).toBe('INVALID_ARGUMENT')
    }
    expect((await wire.codebases.listCodebases({ ownerId: 'liar' })).codebases).toEqual(before)
  })

  it('a finish before all is there is refused', async () => {
    const call = put([file('f', 'never sent')], { name: 'tree' })
    await call.next()
    call.send({ message: { case: 'finish', value: {} } })
    expect(await refusal(call.next())).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'finish' })
  })

  it('the size of a blob that is there cannot be lied about', async () => {
    const id = await codebaseWith(wire, { f: 'well known' })
    const call = put([file('f', 'well known', 3)], { codebaseId: id })
    expect(await refusal(call.next())).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'entries[0].file.size' })
  })
})
