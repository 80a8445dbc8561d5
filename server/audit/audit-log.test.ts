import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from '../config/config-error.ts'
import { createLog } from '../observability/log.ts'
import { AuditLog } from './audit-log.ts'
import { verifyAudit } from './verify.ts'

let dir: string
let file: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-audit-'))
  file = join(dir, 'audit.log')
})

afterEach(() => rmSync(dir, { recursive: true }))

function open(options: { maxFileBytes?: number; maxFiles?: number } = {}): AuditLog {
  const log = createLog({ logLevel: 'info', logFormat: 'json' }, new PassThrough())
  return AuditLog.open({ file, maxFileBytes: 1 << 20, maxFiles: 9, ...options }, { nowMs: () => 0, log })
}

function write(count: number, options?: Parameters<typeof open>[0]): void {
  using audit = open(options)
  for (let at = 0; at < count; at += 1) audit.write({ who: 'token tok_1', method: 'X.Y', ids: [`sb_${at}`] })
}

const lines = (path = file) => readFileSync(path, 'utf8').split('\n').slice(0, -1)

describe('a log', () => {
  it('is whole as it was written, over restarts, and for nobody else', async () => {
    write(3)
    write(2)
    expect(await verifyAudit(file)).toMatchObject({ lines: 5, first: 1, head: { n: 5 }, torn: false })
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('goes on in another file when one is full, and the chain with it', async () => {
    write(30, { maxFileBytes: 2000 })
    const rotated = readdirSync(dir).filter((name) => name !== 'audit.log')
    expect(rotated.sort()[0]).toBe('audit.log.000001')
    expect(rotated.length).toBeGreaterThan(2)
    expect(await verifyAudit(file)).toMatchObject({ lines: 30, head: { n: 30 } })
  })

  it('goes on also where a crash came between the one file and the other', async () => {
    write(3)
    renameSync(file, `${file}.000001`)
    write(2)
    expect(await verifyAudit(file)).toMatchObject({ lines: 5, head: { n: 5 } })
  })

  it('keeps as many files as it is told, and is whole from where it begins then', async () => {
    write(60, { maxFileBytes: 2000, maxFiles: 2 })
    expect(readdirSync(dir)).toHaveLength(3)
    const { first, head, problem } = await verifyAudit(file)
    expect({ begins: first > 1, head: head?.n, problem }).toEqual({ begins: true, head: 60, problem: undefined })
  })

  it('that a crash cut in the middle of a line is gone on with after the last whole one, and says so', async () => {
    write(3)
    appendFileSync(file, '{"n":4,"at":"19')
    expect(await verifyAudit(file)).toMatchObject({ lines: 3, torn: true })
    write(1)
    expect(await verifyAudit(file)).toMatchObject({ lines: 5, torn: false })
    expect(lines()[3]).toContain('"a line that was cut short is gone","bytes":15')
  })

  it('whose only line was cut short begins anew', async () => {
    writeFileSync(file, '{"n":1,')
    write(1)
    expect(await verifyAudit(file)).toMatchObject({ lines: 2, first: 1 })
  })

  it('that ends in something else is not gone on with', () => {
    write(2)
    appendFileSync(file, 'hello\n')
    expect(() => open()).toThrow(ConfigError)
    expect(() => open()).toThrow(/croft audit verify/)
  })
})

describe('is found out, and where:', () => {
  const changes: [what: string, change: (all: string[]) => string[], line: number][] = [
    ['a changed line', (all) => all.map((line, at) => (at === 2 ? line.replace('sb_2', 'sb_9') : line)), 3],
    ['a line that was taken out', (all) => all.filter((_, at) => at !== 2), 3],
    ['lines that were exchanged', ([a, b, c, ...rest]) => [a, c, b, ...rest] as string[], 2],
    ['a line that was put in twice', ([a, b, ...rest]) => [a, b, b, ...rest] as string[], 3],
    ['a line of another form', ([a, ...rest]) => [a, 'x', ...rest] as string[], 2],
    ['a field behind the hash', ([a, ...rest]) => [`${a?.slice(0, -1)},"who":"me"}`, ...rest], 1],
  ]
  it.each(changes)('%s', async (_, change, line) => {
    write(6)
    writeFileSync(file, `${change(lines()).join('\n')}\n`)
    expect((await verifyAudit(file)).problem).toMatchObject({ file, line })
  })

  it('a line that was changed together with its own hash', async () => {
    write(3)
    const forged = join(dir, 'other.log')
    {
      const log = createLog({ logLevel: 'info', logFormat: 'json' }, new PassThrough())
      using other = AuditLog.open({ file: forged, maxFileBytes: 1 << 20, maxFiles: 1 }, { nowMs: () => 0, log })
      other.write({ who: 'somebody else' })
    }
    const [first = ''] = lines(forged)
    writeFileSync(file, `${[first, ...lines().slice(1)].join('\n')}\n`)
    expect((await verifyAudit(file)).problem).toMatchObject({ line: 2 })
  })

  it('a file in the middle that was taken away', async () => {
    write(30, { maxFileBytes: 2000 })
    rmSync(`${file}.000002`)
    expect((await verifyAudit(file)).problem).toMatchObject({ file: `${file}.000003`, line: 1 })
  })
})
