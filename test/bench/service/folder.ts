import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A project of `files` files of 1 to 6 KiB, a hundred to a folder, no two alike. Returns its path. */
export function makeFolder(dir: string, files: number): string {
  for (let at = 0; at < files; at++) {
    const folder = join(dir, `src-${Math.floor(at / 100)}`)
    if (at % 100 === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `file-${at}.ts`), `export const number${at} = ${at}\n`.repeat(40 + (at % 160)))
  }
  return dir
}
