import { MAX_NAME_BYTES } from './limits.ts'
import { literalName, minNameBytes, type NameGlob, nameGlob } from './name-glob.ts'
import { checkText, type PatternSource, readPattern, refused, type Token } from './pattern-text.ts'
import type { PatternType } from './rule.ts'

/** A pattern without braces: names from the root down. No names and not open is the root alone. */
export interface PathPattern {
  readonly names: readonly PatternName[]
  /** It ends in `**`: whatever lies below matches too. */
  readonly open: boolean
}

export interface PatternName {
  readonly glob: NameGlob
  /** A `**` stands before it: any number of names may come between. */
  readonly floating: boolean
}

/** The pattern of a rule, its braces written out. Throws a `PolicyError` that says where and what is wrong. */
export function parsePattern(pattern: string, type: PatternType, index: number): PathPattern[] {
  const source = { pattern, index }
  return type === 'glob' ? readPattern(source).map((tokens) => globPath(source, tokens)) : [literalPath(source, type)]
}

function globPath(source: PatternSource, tokens: readonly Token[]): PathPattern {
  const names: PatternName[] = []
  let floating = false
  for (const name of splitNames(source, tokens)) {
    if (name[0]?.kind === 'globstar' && name.length === 1) {
      floating = true
    } else {
      names.push({ glob: nameGlob(checkedName(source, name)), floating })
      floating = false
    }
  }
  return { names, open: floating }
}

function splitNames(source: PatternSource, tokens: readonly Token[]): Token[][] {
  const end = source.pattern.length
  const relative = tokens[0]?.kind === 'slash' ? tokens.slice(1) : tokens
  if (relative.length === 0) {
    throw refused(source, 0, 'no name is left; ** stands for the root and all below it')
  }
  const names: Token[][] = [[]]
  for (const token of relative) {
    const name = names.at(-1)
    if (token.kind !== 'slash') name?.push(token)
    else if (name?.length === 0) throw refused(source, token.at, 'a / where a name should stand')
    else names.push([])
  }
  if (names.at(-1)?.length === 0) {
    const at = relative.at(-1)?.at ?? end
    throw refused(source, at, 'it ends in /; leave the / out, or write /** for a directory and all below it')
  }
  return names
}

function checkedName(source: PatternSource, name: readonly Token[]): readonly Token[] {
  const at = name[0]?.at ?? 0
  for (const [position, token] of name.entries()) {
    const next = name[position + 1]
    if (token.kind === 'globstar')
      throw refused(source, token.at, '** stands for whole names; nothing may touch it but /')
    if (token.kind === 'star' && next?.kind === 'star') throw refused(source, next.at, 'two * in a row')
  }
  const bytes = minNameBytes(name)
  if (bytes > MAX_NAME_BYTES) {
    throw refused(source, at, `no name is as long as ${bytes} bytes; at most ${MAX_NAME_BYTES} are possible`)
  }
  if (bytes <= 2 && name.every((token) => token.kind === 'byte' && token.byte === DOT)) {
    throw refused(source, at, '. and .. are not names of entries; write the path from the root')
  }
  return name
}

const DOT = 0x2e

/** Every sign stands for itself. A directory may have one `/` at its end, and `/` alone is the root. */
function literalPath(source: PatternSource, type: 'directory' | 'file'): PathPattern {
  checkText(source)
  const { pattern } = source
  const isDirectory = type === 'directory'
  if (pattern === '/') {
    if (isDirectory) return { names: [], open: true }
    throw refused(source, 0, 'the root is a directory; a file rule names one entry below it')
  }
  const start = pattern.startsWith('/') ? 1 : 0
  const end = isDirectory && pattern.endsWith('/') ? pattern.length - 1 : pattern.length
  let at = start
  const names = pattern
    .slice(start, end)
    .split('/')
    .map((text): PatternName => {
      const name = Buffer.from(text).toString('latin1')
      if (name === '') throw refused(source, at, 'a / where a name should stand')
      if (name === '.' || name === '..') {
        throw refused(source, at, '. and .. are not names of entries; write the path from the root')
      }
      if (name.length > MAX_NAME_BYTES) {
        throw refused(source, at, `no name is as long as ${name.length} bytes; at most ${MAX_NAME_BYTES} are possible`)
      }
      at += text.length + 1
      return { glob: literalName(name), floating: false }
    })
  return { names, open: isDirectory }
}
