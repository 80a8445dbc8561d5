import { describe, expect, it } from 'vitest'
import { RuntimeError } from '../contract/runtime.ts'
import { remedyForEngine } from './remedy.ts'

const failed = (message: string, code?: string) =>
  new RuntimeError('unavailable', 'docker', message, { cause: Object.assign(new Error(message), { code }) })

describe('the line that mends an engine', () => {
  it.each([
    ['docker', 'ENOENT', false, 'apt-get install -y docker.io'],
    ['docker', 'ENOENT', true, 'systemctl enable --now docker.service'],
    ['podman', 'ENOENT', false, 'apt-get install -y podman'],
    ['podman', 'ENOENT', true, 'systemctl enable --now podman.socket'],
    ['docker', 'ECONNREFUSED', true, 'systemctl restart docker.service'],
    ['docker', 'EACCES', true, 'usermod -aG docker "$USER"  # and log in again'],
  ] as const)('of %s, where connecting says %s and it is installed: %j', (engine, code, installed, line) => {
    expect(remedyForEngine(engine, failed('cannot be reached', code), () => installed)).toBe(line)
  })

  it.each([
    ['podman at /run/s did not say what it can within 30000 ms', 'systemctl restart podman.socket'],
    ['crun: invalid file system type on /sys/fs/cgroup', 'apt-get install -y runc'],
    ['setrlimit `RLIMIT_NOFILE`: Operation not permitted', 'default_ulimits='],
    ['newuidmap: not found', 'apt-get install -y uidmap'],
  ])('where it says %j', (message, line) => {
    expect(remedyForEngine('podman', failed(message))).toContain(line)
  })

  it('is none where none is known', () => {
    expect(remedyForEngine('docker', failed('no space left on device'))).toBeUndefined()
  })
})
