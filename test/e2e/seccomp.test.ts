import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { InvalidArgumentError, PermissionDeniedError, Sandbox } from '../../sdk/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

let fixture: SdkSandbox | undefined
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox({ seccomp: 'strict' })
  sandbox = fixture.sandbox
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('a sandbox made with a profile of system calls', () => {
  const trace = 'python3 -c "import ctypes; print(ctypes.CDLL(None).ptrace(0,0,0,0))"'

  it('says so, and has it in commands and sessions', async () => {
    expect((await sandbox.info()).seccomp).toBe('strict')
    expect((await sandbox.run(trace)).stdout).toBe('-1\n')
    await using session = await sandbox.session()
    expect((await session.run(`grep Seccomp: /proc/self/status; ${trace}`)).stdout).toBe('Seccomp:\t2\n-1\n')
  })

  it('still has it after it was stopped and started', async () => {
    await sandbox.stop()
    await sandbox.start()
    expect((await sandbox.run(trace)).stdout).toBe('-1\n')
  })

  it('is refused where there is no such profile, or a looser one than the server’s', async () => {
    const { project, server } = fixture as SdkSandbox
    const ask = (seccomp: string) => Sandbox.fromLocal(project, { server, seccomp: seccomp as 'off' })
    await expect(ask('none')).rejects.toThrow(InvalidArgumentError)
    await expect(ask('off')).rejects.toThrow(PermissionDeniedError)
    await expect(ask('off')).rejects.toThrow('nothing looser than default')
  })
})

describe('a sandbox made without one', () => {
  it('has the default, in which a debugger works', async () => {
    const { project, server } = fixture as SdkSandbox
    await using other = await Sandbox.fromLocal(project, { server })
    expect((await other.info()).seccomp).toBe('default')
    expect((await other.run('grep Seccomp: /proc/self/status; unshare -U true || echo refused')).stdout).toBe(
      'Seccomp:\t2\nrefused\n',
    )
  })
})

describe('a server with a setting of its own', () => {
  it('allows nothing looser, and gives it to who names nothing', async () => {
    const dir = temporaryServerDir()
    try {
      await using server = await ServerProcess.start(dir, '--seccomp', 'strict')
      const codebaseId = await codebaseWith(server.wire, { a: '' })
      const { sandboxes } = server.wire
      expect((await sandboxes.createSandbox({ codebaseId })).seccomp).toBe('strict')
      expect(await refusal(sandboxes.createSandbox({ codebaseId, seccomp: 'default' }))).toMatchObject({
        code: 'PERMISSION_DENIED',
        field: 'seccomp',
      })
    } finally {
      removeServerDir(dir)
    }
  })

  it('of off filters nothing but where a request asks for it', async () => {
    const dir = temporaryServerDir()
    try {
      await using server = await ServerProcess.start(dir, '--seccomp', 'off')
      const codebaseId = await codebaseWith(server.wire, { a: '' })
      const filtered = async (seccomp: string) => {
        const { id: sandboxId } = await server.wire.sandboxes.createSandbox({ codebaseId, seccomp, start: true })
        return (await server.wire.sandboxes.exec({ sandboxId, command: 'grep Seccomp: /proc/self/status' })).stdout
      }
      expect(await filtered('')).toBe('Seccomp:\t0\n')
      expect(await filtered('strict')).toBe('Seccomp:\t2\n')
    } finally {
      removeServerDir(dir)
    }
  })
})
