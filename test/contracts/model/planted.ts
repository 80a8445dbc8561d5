import * as fs from 'node:fs'
import { join } from 'node:path'

/** An ordinary user, whom a view belongs to. */
export const OWNER = 12_345

export function plant(directory: string): void {
  fs.mkdirSync(join(directory, 'a/b'), { recursive: true })
  fs.mkdirSync(join(directory, 'b/a/c'), { recursive: true })
  fs.writeFileSync(join(directory, 'a/a'), 'small')
  fs.writeFileSync(join(directory, 'a/b/c'), 'y'.repeat(100_000))
  fs.writeFileSync(join(directory, 'b/b'), '')
  fs.writeFileSync(join(directory, 'b/a/c/d'), 'z'.repeat(16_384), { mode: 0o755 })
  fs.symlinkSync('../a/a', join(directory, 'b/c'))
  fs.writeFileSync(join(directory, 'd'), 'top')
}

/** To the view's owner, who others of the callers are not; and with times that no call of now leaves. */
export function give(path: string): void {
  const info = fs.lstatSync(path)
  if (info.isDirectory()) for (const name of fs.readdirSync(path)) give(join(path, name))
  fs.lchownSync(path, OWNER, OWNER)
  fs.lutimesSync(path, 1_000_000, 1_000_000)
  if (path.endsWith('top')) fs.chmodSync(path, 0o777)
}
