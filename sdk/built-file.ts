import { fileURLToPath } from 'node:url'

/**
 * A compiled file of this package that runs as a process of its own, such as `server/main.js`. From the
 * sources (under a test runner) it is the one in `dist` too: Node runs no TypeScript.
 */
export function builtFile(path: string): string {
  const root = import.meta.url.endsWith('.ts') ? '../dist/' : '../'
  return fileURLToPath(new URL(`${root}${path}`, import.meta.url))
}
