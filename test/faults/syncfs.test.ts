import * as fs from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { Opcode } from '../../fs-layer/protocol/constants.ts'
import { startServer } from '../contracts/device/server-process.ts'
import { calls } from '../fixtures/caller/calls.ts'
import { needs } from '../needs.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

/**
 * The kernel hands syncfs(2) to filesystems on block devices and to virtiofs only (`fc->sync_fs`, fs/fuse/inode.c). When
 * this test fails it has learnt to, and what README says of `sync` can be better.
 */
it('syncfs(2) has the kernel send what it has gathered, and nothing after that to wait for', async () => {
  await using server = await startServer({ device: 'kernel', options: { writeback: true, opens: 'none' } })
  const fd = fs.openSync(join(server.target, 'file'), 'w')
  try {
    fs.writeSync(fd, 'gathered')
    fs.mkdirSync(join(server.target, 'directory'))
    const before = (await server.ask({ do: 'counts' })) as number[]
    calls.syncfs(fd)
    const after = (await server.ask({ do: 'counts' })) as number[]
    const came = Object.entries(Opcode).flatMap(([name, opcode]) => {
      const count = (after[opcode] ?? 0) - (before[opcode] ?? 0)
      return count > 0 ? [[name, count]] : []
    })
    expect(Object.fromEntries(came)).toEqual({ WRITE: 1, SETATTR: 1 })
  } finally {
    fs.closeSync(fd)
  }
})
