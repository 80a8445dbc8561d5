import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'

export interface Circumstances {
  readonly isRoot: boolean
  /** How views are mounted, and whether they can be. */
  readonly device: string
  readonly canMount: boolean
  readonly runtimes: readonly (readonly [RuntimeName, Probe])[]
}

/** What cannot be had on this host, a line each: why, and what mends it. */
export function restrictionsOf({ isRoot, device, canMount, runtimes }: Circumstances): string[] {
  const lines: string[] = []
  if (!canMount) lines.push('no sandbox can be started: its files cannot be mounted')
  if (!isRoot) {
    lines.push(
      "sandboxes run as this server's own user, so only namespaces stand between them, and between them and that user's other programs; run the server as root for a host user each",
    )
    if (canMount && device === 'kernel') {
      lines.push(
        'views are mounted by fusermount3: no more of them than mount_max in /etc/fuse.conf (1000), not even root can look into them, and large files are read and written through the server; run it as root for none of this',
      )
    }
  }
  for (const [name, { available, capabilities: can, lacks }] of runtimes) {
    if (!available) continue
    const lacking = [
      ...(can.memoryLimit ? [] : ['memory']),
      ...(can.cpuLimit ? [] : ['CPU time']),
      ...(can.pidsLimit ? [] : ['processes']),
    ]
    if (lacking.length > 0) {
      const mend = isRoot ? 'mount the controllers of control groups' : 'run the server as root'
      lines.push(`${name}: no limits of ${lacking.join(', ')}, for no control group can be made; ${mend}`)
    }
    if (!can.networkFull && lacks?.networkFull !== undefined) {
      lines.push(`${name}: no sandbox can have the whole network (an allow-list it can): ${lacks.networkFull}`)
    }
    if (!can.systemCallFilter) lines.push(`${name}: system calls are not filtered, for the kernel has no seccomp`)
  }
  return lines
}
