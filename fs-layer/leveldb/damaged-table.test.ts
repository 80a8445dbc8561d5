import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Level } from 'level'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { damagedTable } from './damaged-table.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-table-'))
})

afterEach(() => rmSync(dir, { recursive: true }))

/** A database with a table of each kind of value: what is compressed, what cannot be, and many small ones. */
async function withTables(): Promise<string[]> {
  const fill = [
    (n: number) => Buffer.from(`compressed ${n} `.repeat(200)),
    () => randomBytes(3000),
    (n: number) => Buffer.from([n & 255]),
  ]
  for (const value of fill) {
    const level = new Level<Buffer, Buffer>(dir, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
    const keys = Array.from({ length: 400 }, (_, n) => Buffer.from(`${fill.indexOf(value)} key ${n}`))
    await level.batch(keys.map((key, n) => ({ type: 'put' as const, key, value: value(n) })))
    await level.close()
  }
  // The last log becomes a table.
  const level = new Level<Buffer, Buffer>(dir)
  await level.open()
  await level.close()
  return readdirSync(dir).filter((name) => name.endsWith('.ldb'))
}

it('tables are whole as LevelDB wrote them, and a bit that changes anywhere before the footer is found', async () => {
  const tables = await withTables()
  expect(tables.length).toBeGreaterThan(2)
  expect(damagedTable(dir)).toBeNull()
  for (const name of tables) {
    const path = join(dir, name)
    const table = readFileSync(path)
    fc.assert(
      fc.property(fc.nat(table.length - 49), fc.nat(7), (at, bit) => {
        const changed = Buffer.from(table)
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << bit), at)
        writeFileSync(path, changed)
        expect(damagedTable(dir)).toMatchObject({ path })
      }),
    )
    writeFileSync(path, table.subarray(0, table.length - 1))
    expect(damagedTable(dir)).toEqual({ path, reason: 'it does not end as a table does' })
    writeFileSync(path, table)
  }
  expect(damagedTable(dir)).toBeNull()
})
