import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isRacy, openHashCache, RACY_CTIME_MS, RACY_MTIME_MS } from './hash-cache.ts'
import type { FileIdentity } from './walk.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-hashes-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

const now = 1_700_000_000_000
const hash = Buffer.alloc(32, 7)

function identity(changes: Partial<FileIdentity> = {}): FileIdentity {
  const old = BigInt(now - 60_000) * 1_000_000n
  return { dev: 1n, ino: 2n, size: 3n, mtimeNs: old, ctimeNs: old, ...changes }
}

async function saved(entries: readonly FileIdentity[]): Promise<void> {
  const cache = await openHashCache(dir, '/project')
  for (const each of entries) cache.set(each, hash, now)
  await cache.save()
}

test('a hash is there for the next upload of the same folder, and of no other', async () => {
  await saved([identity()])
  expect((await openHashCache(dir, '/project')).get(identity())).toEqual(hash)
  expect((await openHashCache(dir, '/other')).get(identity())).toBeUndefined()
})

test.each<[keyof FileIdentity]>([['dev'], ['ino'], ['size'], ['mtimeNs'], ['ctimeNs']])(
  'another %s is another file',
  async (field) => {
    await saved([identity()])
    const cache = await openHashCache(dir, '/project')
    expect(cache.get(identity({ [field]: identity()[field] + 1n }))).toBeUndefined()
  },
)

test('what was not asked for again is forgotten', async () => {
  await saved([identity(), identity({ ino: 9n })])
  const second = await openHashCache(dir, '/project')
  second.get(identity())
  await second.save()
  const third = await openHashCache(dir, '/project')
  expect(third.get(identity())).toEqual(hash)
  expect(third.get(identity({ ino: 9n }))).toBeUndefined()
})

test('a file written a moment before it was hashed is hashed again: its times may not show the next write', async () => {
  const fresh = identity({ mtimeNs: BigInt(now - 1) * 1_000_000n })
  await saved([fresh])
  expect((await openHashCache(dir, '/project')).get(fresh)).toBeUndefined()
})

describe('the racy rule', () => {
  test.each([
    ['mtime', 'mtimeNs', RACY_MTIME_MS],
    ['ctime', 'ctimeNs', RACY_CTIME_MS],
  ] as const)('trusts a %s from exactly its limit before, and none later', (_name, field, limitMs) => {
    const at = (ms: number) => identity({ [field]: BigInt(ms) * 1_000_000n })
    expect(isRacy(at(now - limitMs), now)).toBe(false)
    expect(isRacy(at(now - limitMs + 1), now)).toBe(true)
  })

  test('does not trust a time in the future', () => {
    expect(isRacy(identity({ mtimeNs: BigInt(now + 60_000) * 1_000_000n }), now)).toBe(true)
  })
})

describe('the file', () => {
  const file = () => join(dir, 'hashes', readdirSync(join(dir, 'hashes'))[0] ?? '')

  test('is for the user alone', async () => {
    await saved([identity()])
    expect(statSync(file()).mode & 0o077).toBe(0)
    expect(statSync(join(dir, 'hashes')).mode & 0o077).toBe(0)
  })

  test.each([
    ['cut short', (text: string) => text.slice(0, -10)],
    ['with one digit changed', (text: string) => text.replace('0707', '0708')],
    ['empty', () => ''],
    ['of another version', (text: string) => text.replace('croft-hashes 1', 'croft-hashes 0')],
  ])('counts for nothing when it is %s', async (_what, damage) => {
    await saved([identity()])
    const text = readFileSync(file(), 'utf8')
    writeFileSync(file(), damage(text))
    expect(readFileSync(file(), 'utf8')).not.toBe(text)
    expect((await openHashCache(dir, '/project')).get(identity())).toBeUndefined()
  })

  test('leaves nothing beside it', async () => {
    await saved([identity()])
    await saved([identity({ ino: 5n })])
    expect(readdirSync(join(dir, 'hashes'))).toHaveLength(1)
  })
})
