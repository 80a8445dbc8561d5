import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { SandboxStatus } from '../../proto/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'
import { Ext4Disk } from './crash/ext4-disk.ts'

it('StopSandbox is not answered with success where the disk did not take what the sandbox wrote', async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap', 'loop')
  const dir = temporaryServerDir()
  try {
    using disk = Ext4Disk.create(dir, 128 << 20)
    // The records are on another disk, which goes on.
    fs.mkdirSync(join(dir, 'data'))
    fs.symlinkSync(disk.path, join(dir, 'data', 'deltas'))
    await using server = await ServerProcess.start(dir)
    const { codebases, sandboxes } = server.wire
    const { id: codebaseId } = await codebases.createCodebase({ name: 'project' })
    const { id: sandboxId } = await sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    await sandboxes.exec({ sandboxId, command: 'echo kept > kept; sync kept; echo lost > lost' })
    execFileSync('mount', ['-o', 'remount,abort', disk.path])
    expect((await refusal(sandboxes.stopSandbox({ sandboxId }))).code).not.toBe('OK')
    expect((await sandboxes.getSandbox({ sandboxId })).status).toBe(SandboxStatus.STOPPED)
  } finally {
    removeServerDir(dir)
  }
})
