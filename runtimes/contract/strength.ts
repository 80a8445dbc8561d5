import type { RuntimeName } from './runtime.ts'

/**
 * Strongest first: a kernel of the sandbox's own (a virtual machine), then one that is a program (gVisor), then the
 * host's behind namespaces and two filters of system calls (the engine's and ours), then behind ours alone. Runtimes
 * that run elsewhere, or that are no Linux inside, are for those who name them.
 */
export const BY_STRENGTH: readonly RuntimeName[] = ['firecracker', 'qemu', 'gvisor', 'docker', 'podman', 'bwrap']

/** The files that a program inside finds beside the view are an image's. */
export function needsImage(runtime: RuntimeName): boolean {
  return runtime === 'docker' || runtime === 'podman' || runtime === 'gvisor'
}
