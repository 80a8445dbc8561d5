import type { ByteString } from '../protocol/filesystem.ts'

/** A path as git writes it in a patch: in quotes, with escapes, where it has anything but plain characters. */
export function gitPath(path: ByteString): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/[\u0000-\u001f"\\\u007f-\u00ff]/.test(path)) return path
  let quoted = ''
  for (const character of path) quoted += escaped(character)
  return `"${quoted}"`
}

/** Of a file in the lines `---` and `+++`: what ends a name with a space in it is a tab. */
export function gitHeaderPath(path: ByteString): string {
  const written = gitPath(path)
  return written === path && path.includes(' ') ? `${path}\t` : written
}

/** No version of git takes a patch that names one. */
export function isGitsOwn(path: ByteString): boolean {
  return path.split('/').some((name) => name.toLowerCase() === '.git')
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '"': '\\"',
  '\\': '\\\\',
}

function escaped(character: string): string {
  const code = character.charCodeAt(0)
  return ESCAPES[character] ?? (code < 0x20 || code > 0x7e ? `\\${code.toString(8).padStart(3, '0')}` : character)
}
