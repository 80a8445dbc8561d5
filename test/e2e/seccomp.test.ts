import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { InvalidArgumentError, PermissionDeniedError, Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
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
