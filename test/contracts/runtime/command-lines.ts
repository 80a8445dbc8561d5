import type { Agent } from '../../../runtimes/contract/agent.ts'
import { sh } from '../../fixtures/agent-alone.ts'

/** Of all processes that can be seen inside; not every image has a `ps` with options. */
export async function commandLines(agent: Agent): Promise<string> {
  const { stdout } = await sh(agent, 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done 2>/dev/null')
  return stdout.toString()
}
