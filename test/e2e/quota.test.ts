import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { InvalidArgumentError, ResourceExhaustedError, Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MIB = 2 ** 20

let fixture: SdkSandbox | undefined
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox({ resources: { diskBytes: MIB, inodes: 20 } })
  sandbox = fixture.sandbox
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('a sandbox with a quota', () => {
  it('sees it as the size of its disk', async () => {
    const { stdout } = await sandbox.run('df --output=size,avail,itotal -B4096 . | tail -1')
    expect(stdout.trim().split(/\s+/).map(Number)).toEqual([256, 256, 20])
    expect((await sandbox.info()).resources).toMatchObject({ diskBytes: MIB, inodes: 20 })
  })

  it('is told at the edge, by the program and by the server, and has what fitted', async () => {
    const dd = await sandbox.run('dd if=/dev/zero of=build/zeros bs=4096 count=300')
    expect(dd.exitCode).toBe(1)
    expect(dd.stderr).toContain('Disk quota exceeded')
    expect(await sandbox.usage()).toMatchObject({ diskBytes: MIB })
    await expect(sandbox.files.write('build/more', 'x')).rejects.toThrow(ResourceExhaustedError)
    expect((await sandbox.run('stat -c %s build/zeros')).stdout).toBe(`${MIB}\n`)
    await sandbox.run('truncate -s 4096 build/zeros')
    await sandbox.files.write('build/more', 'x')
    expect(await sandbox.usage()).toEqual({ diskBytes: 8192, inodes: 2 })
  })

  it('has no more inodes than it may', async () => {
    const made = await sandbox.run('for i in $(seq 30); do touch build/f$i || break; done; ls build | grep -c ^f')
    expect(made.stdout).toBe('18\n')
    expect(made.stderr).toContain('Disk quota exceeded')
    await sandbox.run('rm build/f*')
    expect((await sandbox.usage()).inodes).toBe(2)
  })

  it('takes as much after it was stopped and started', async () => {
    const before = await sandbox.usage()
    await sandbox.stop()
    expect(await sandbox.usage()).toEqual(before)
    await sandbox.start()
    expect(await sandbox.usage()).toEqual(before)
  })

  it('is refused where its quota is none', async () => {
    const { project, server } = fixture as SdkSandbox
    const ask = (resources: object) => Sandbox.fromLocal(project, { server, resources })
    await expect(ask({ diskBytes: -1 })).rejects.toThrow(InvalidArgumentError)
    await expect(ask({ inodes: 5_000_000 })).rejects.toThrow('resources.inodes must be at most 4000000')
  })
})
