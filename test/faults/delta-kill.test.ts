import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { Store } from '../../fs-layer/store/store.ts'
import { needs } from '../needs.ts'

const KILLS = 12

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a process that serves a view and is killed', () => {
  it('has lost nothing that was synced, and every file is one that was once written', async () => {
    const dir = fs.mkdtempSync(join(tmpdir(), 'croft-kill-'))
    const mount = join(dir, 'mnt')
    const acknowledged = new Map<string, string>()
    try {
      const base = await makeBase(dir)
      for (let round = 0; round < KILLS; round++) {
        const server = await serve(dir, base)
        for (const [name, digest] of acknowledged) expect([name, digestOf(join(mount, name))]).toEqual([name, digest])
        checkWhole(mount)
        const ended = once(server, 'exit')
        // Between a moment and a few hundred writes later: the spread is what finds things.
        setTimeout(() => server.kill('SIGKILL'), 5 + round * round * 4)
        await writeUntilGone(mount, round, acknowledged)
        await ended
        execFileSync('umount', ['-l', mount])
      }
      expect(acknowledged.size).toBeGreaterThan(KILLS)
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }, 120_000)
})

async function makeBase(dir: string): Promise<string> {
  fs.mkdirSync(join(dir, 'base'))
  fs.mkdirSync(join(dir, 'mnt'))
  for (let n = 0; n < 20; n++) fs.writeFileSync(join(dir, 'base', `base${n}`), line(n).repeat(n * 300))
  await using store = await Store.open({ dir: join(dir, 'store') })
  return (await importDirectory(store, join(dir, 'base'))).hash
}

async function serve(dir: string, base: string) {
  const program = fileURLToPath(new URL('../../dist/test/faults/view-server.js', import.meta.url))
  const server = spawn(process.execPath, [program, dir, base], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  return server
}

/** Files of all sizes, new ones and the base's, some synced. What is synced counts as kept from then on. */
async function writeUntilGone(mount: string, round: number, acknowledged: Map<string, string>): Promise<void> {
  for (let n = 0; ; n++) {
    const name = n % 5 === 0 ? `base${n % 20}` : `r${round}-${n}`
    const text = line(round * 1000 + n).repeat(1 + ((n * 397) % 3000))
    const temporary = `${name}.tmp`
    try {
      // As editors and databases replace a file: what is under the name is always whole.
      const fd = fs.openSync(join(mount, temporary), 'w')
      fs.writeSync(fd, text)
      fs.fsyncSync(fd)
      fs.closeSync(fd)
      fs.renameSync(join(mount, temporary), join(mount, name))
      // From here until the next sync either contents are right.
      acknowledged.delete(name)
      const parent = fs.openSync(mount, 'r')
      fs.fsyncSync(parent)
      fs.closeSync(parent)
      acknowledged.set(name, createHash('sha256').update(text).digest('hex'))
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toMatch(/ENOTCONN|ECONNABORTED|EIO/)
      return
    }
    await new Promise((turn) => setImmediate(turn))
  }
}

/** Every file is repetitions of one line. */
function checkWhole(mount: string): void {
  for (const name of fs.readdirSync(mount)) {
    if (name.endsWith('.tmp')) continue
    const text = fs.readFileSync(join(mount, name), 'latin1')
    const first = text.slice(0, text.indexOf('\n') + 1)
    expect([name, text === first.repeat(text.length / (first.length || 1))]).toEqual([name, true])
  }
}

function line(n: number): string {
  return `line ${n}\n`
}

function digestOf(path: string): string {
  return createHash('sha256').update(fs.readFileSync(path)).digest('hex')
}
