import { fileURLToPath } from 'node:url'

/** Where the build puts the agent: beside the compiled form of this file, also when this runs from source. */
export function agentBinaryPath(): string {
  const compiled = new URL('./croft-agent', import.meta.url)
  const built = import.meta.url.includes('/dist/runtimes/agent/')
    ? compiled
    : new URL('../../dist/runtimes/agent/croft-agent', import.meta.url)
  return fileURLToPath(built)
}
