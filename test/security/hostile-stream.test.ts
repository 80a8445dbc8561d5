import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OpenFiles } from '../../fs-layer/delta/open-files.ts'
import { type StreamDevice, streamDevice } from '../../fs-layer/device/stream/device.ts'
import { compilePolicy } from '../../fs-layer/policy/policy.ts'
import { Opcode } from '../../fs-layer/protocol/constants.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { changesOf } from '../../fs-layer/view/changes.ts'
import { OpenView } from '../../fs-layer/view/open-view.ts'
import { request, type StreamGuest, streamGuest, u32s } from '../fixtures/stream-guest.ts'

/** A guest's kernel may be the guest's own: whatever it says over its stream, it harms nobody and learns nothing. */
describe('whoever speaks FUSE over a stream', () => {
  let scratch: string
  let store: Store
  let files: OpenFiles
  let views = 0
  const log: string[] = []
  let device: StreamDevice
  let base: string
  let lastUnique = 2n ** 40n

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'croft-hostile-'))
    mkdirSync(join(scratch, 'base/dir/sub'), { recursive: true })
    writeFileSync(join(scratch, 'base/file'), 'seen')
    writeFileSync(join(scratch, 'base/secret'), SECRET)
    writeFileSync(join(scratch, 'base/dir/large'), 'x'.repeat(100_000))
    writeFileSync(join(scratch, 'base/dir/sub/secret'), SECRET)
    symlinkSync('file', join(scratch, 'base/link'))
    store = await Store.open({ dir: join(scratch, 'store') })
    base = (await importDirectory(store, join(scratch, 'base'))).hash
    files = new OpenFiles({ maxFiles: 16 })
    device = streamDevice((level, message, fields) => {
      if (level !== 'info') log.push(`${message}: ${String(fields['error'])}`)
    })
  })
  afterAll(async () => {
    files[Symbol.dispose]()
    await store[Symbol.asyncDispose]()
    rmSync(scratch, { recursive: true })
  })

  async function openView(): Promise<OpenView> {
    const statfs = () => ({ blockSize: 4096, blocks: 9, blocksFree: 9, files: 9, filesFree: 9, nameMax: 255 })
    return await OpenView.open(
      {
        ...{ name: 'hostile', base, statfs, quota: { bytes: 64 << 20, inodes: 10_000 } },
        deltaDir: join(scratch, `delta${++views}`),
        owner: { uid: 1000, gid: 1000 },
        policy: compilePolicy([
          { pattern: '**', type: 'glob', level: 'write' },
          { pattern: '**/secret', type: 'glob', level: 'none' },
        ]),
      },
      { store, files, log: () => undefined },
    )
  }

  function mount(view: OpenView, { stream }: StreamGuest): Promise<unknown> {
    const serving = {
      ...device,
      mount: (...[fs, target, options]: MountArguments) => device.serve(fs, stream, target, options),
    }
    return view.mount(serving, '/stream', false)
  }

  async function mounted(view: OpenView, guest: StreamGuest): Promise<void> {
    const mounting = mount(view, guest)
    await guest.init()
    await mounting
  }

  /** Goes through only if everything before it has been taken. */
  async function answers(guest: StreamGuest): Promise<void> {
    lastUnique += 2n
    const unique = lastUnique
    guest.raw(request(Opcode.STATFS, Buffer.alloc(0), { unique }))
    // Others may be answered after it: a sync waits for the disk.
    while (!guest.replies.some((reply) => reply.unique === unique)) await guest.replied(guest.replies.length + 1)
  }

  it('sends noise, and only its own stream ends', async () => {
    await using neighbour = await streamGuest()
    await using neighbours = await openView()
    await mounted(neighbours, neighbour)
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.uint8Array({ minLength: 44, maxLength: 3000 }), async (begun, noise) => {
        await using guest = await streamGuest()
        await using view = await openView()
        const refused = begun ? null : expect(mount(view, guest)).rejects.toMatchObject({ code: 'MOUNT_FAILED' })
        if (begun) await mounted(view, guest)
        // A length that can be, or the first word would end it each time.
        const bytes = Buffer.from(noise)
        bytes.writeUInt32LE(40 + (bytes.readUInt32LE(0) % 200), 0)
        guest.raw(bytes)
        guest.hangUp()
        await refused
        await answers(neighbour)
      }),
      { numRuns: 40 },
    )
    expect(log.splice(0).filter((line) => !line.includes('cut off'))).toEqual([])
  })

  it.each([
    ['a directory', 0o040755],
    ['a symlink', 0o120777],
    ['a character device', 0o020666],
    ['a block device', 0o060666],
    ['nothing that there is', 0o050666],
  ])('makes no node that is %s', async (_, mode) => {
    await using guest = await streamGuest()
    await using view = await openView()
    await mounted(view, guest)
    guest.raw(request(Opcode.MKNOD, Buffer.concat([u32s(mode, 0, 0, 0), Buffer.from('made\0')])))
    await guest.replied(2)
    expect(guest.replies[1]?.error).toBe(-1)
  })

  it('asks for anything at all, and meets an answer, no fault, and nothing of what is hidden', async () => {
    const opcode = fc.constantFrom(
      ...Object.values(Opcode).filter((each) => each !== Opcode.INIT && each !== Opcode.NOTIFY_REPLY),
    )
    const node = fc.oneof(fc.bigInt({ min: 0n, max: 12n }), fc.constantFrom(2n ** 53n - 1n, 2n ** 32n, 2n ** 40n + 1n))
    const word = fc.oneof(
      fc.integer({ min: 0, max: 8 }),
      fc.constantFrom(0o100644, 0o040755, 0o120777, 0o060666, 0xffffffff, 0x7fffffff, 4096, 70_000, 1 << 20),
    )
    const names = fc.array(
      fc.oneof(
        fc.constantFrom(
          'secret',
          'file',
          'dir',
          'link',
          'sub',
          '..',
          '.',
          '',
          'a/b',
          'user.x',
          'security.y',
          'n'.repeat(256),
        ),
        fc.string({ maxLength: 8 }),
      ),
      { maxLength: 3 },
    )
    const ask = fc.record({ opcode, node, words: fc.array(word, { maxLength: 24 }), names })
    await fc.assert(
      fc.asyncProperty(fc.array(ask, { minLength: 1, maxLength: 150, size: 'max' }), async (asked) => {
        await using guest = await streamGuest()
        await using view = await openView()
        await mounted(view, guest)
        asked.forEach(({ opcode, node, words, names }, index) => {
          const body = Buffer.concat([u32s(...words), Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1')])
          guest.raw(request(opcode, body, { node, unique: BigInt(index + 10) }))
        })
        await answers(guest)
        for (const { body } of guest.replies) expect(body.includes(SECRET)).toBe(false)
        // What it made is files, directories, links, FIFOs and sockets under names that a tree can have.
        for (const { path } of changesOf(view.overlay)) {
          for (const name of path.split('/')) expect(['', '.', '..', 'secret']).not.toContain(name)
        }
        for (const inode of view.overlay.inMemory()) {
          expect([0o040000, 0o100000, 0o120000, 0o010000, 0o140000]).toContain(inode.mode & 0o170000)
        }
        expect(log.splice(0)).toEqual([])
        // It takes no notices, so closing the view would wait for it.
        guest.hangUp()
      }),
      { numRuns: 40 },
    )
  })
})

type MountArguments = Parameters<StreamDevice['mount']>

const SECRET = 'nobody is to see this'
