import * as fs from 'node:fs'
import { dirname, join, relative } from 'node:path'
import fc from 'fast-check'
import type { Rule } from '../../../fs-layer/policy/rule.ts'
import { type Step, sequence, stepAmong } from '../../contracts/model/steps.ts'
import { anyRule } from '../../fixtures/any-rule.ts'

/** `s` is secret wherever it stands, whatever the other rules say. */
const NAMES = ['a', 'b', 'ab', '.a', 's']
const SECRET: Rule = { pattern: '**/s/**', type: 'glob', level: 'none', priority: 100 }

/** Rules, and what is done under them. */
export interface Epoch {
  readonly rules: readonly Rule[]
  readonly steps: readonly Step[]
}

/** What a base is made of; what cannot be made, because of what is there already, is not. */
export interface Planted {
  readonly path: string
  readonly kind: 'file' | 'directory' | 'symlink'
}

const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))
export const planted: fc.Arbitrary<Planted[]> = fc.array(
  fc.record({ path, kind: fc.constantFrom('file', 'file', 'directory', 'symlink') }),
  { maxLength: 40, size: 'max' },
)

/** For most paths there is a level that no other rule speaks against. */
const rules: fc.Arbitrary<Rule[]> = fc
  .tuple(fc.constantFrom('write', 'write', 'read', 'view', 'none'), fc.array(anyRule, { maxLength: 6 }))
  .map(([level, some]) => [{ pattern: '**', type: 'glob', level, priority: -2 }, ...some, SECRET])

export function epochs(steps: number, count: { minLength: number; maxLength: number }): fc.Arbitrary<Epoch[]> {
  const step = stepAmong(NAMES)
    // A mapping of what may not be read is a signal, not an answer.
    .filter(({ call }) => call !== 'mapWriteWithin')
  return fc.array(fc.record({ rules, steps: sequence(step, steps) }), count)
}

export function plant(root: string, entries: readonly Planted[]): void {
  for (const { path, kind } of entries) {
    const at = join(root, path)
    try {
      fs.mkdirSync(dirname(at), { recursive: true })
      if (kind === 'directory') fs.mkdirSync(at, { recursive: true })
      else if (kind === 'file') fs.writeFileSync(at, `[${path}]`.padEnd(path.length * 2000), { flag: 'wx' })
      else fs.symlinkSync('a/b', at)
    } catch (error) {
      if (!TAKEN.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
}

const TAKEN = ['EEXIST', 'ENOTDIR', 'ENOENT', 'ELOOP']

/** Makes another world of it: without what `isHidden`, and with other contents where they are not `isReadable`. */
export function alter(
  root: string,
  { isHidden, isReadable }: { isHidden(path: string): boolean; isReadable(path: string): boolean },
): void {
  // Without their types it would follow symlinks.
  const entries = fs.readdirSync(root, { recursive: true, withFileTypes: true })
  const paths = entries.map(({ parentPath, name }) => relative(root, join(parentPath, name)))
  const hidden = paths.filter((path) =>
    [path, ...paths.filter((below) => below.startsWith(`${path}/`))].every(isHidden),
  )
  for (const path of hidden) fs.rmSync(join(root, path), { recursive: true, force: true })
  for (const path of paths) {
    const at = join(root, path)
    if (hidden.includes(path) || isReadable(path)) continue
    const info = fs.lstatSync(at)
    if (info.isFile()) fs.writeFileSync(at, fs.readFileSync(at, 'utf8').toUpperCase())
    if (!info.isSymbolicLink()) continue
    fs.rmSync(at)
    fs.symlinkSync('b/a', at)
  }
}
