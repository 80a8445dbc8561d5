import { existsSync, readFileSync } from 'node:fs'

/** Of the package that this file is a part of, be it compiled or not. */
export function packageVersion(): string {
  for (const up of ['../../', '../../../']) {
    const file = new URL(`${up}package.json`, import.meta.url)
    if (!existsSync(file)) continue
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version?: string }
    if (version !== undefined) return version
  }
  return 'unknown'
}
