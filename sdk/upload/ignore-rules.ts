import ignore, { type Ignore } from 'ignore'
import { type BytePath, fromText } from './byte-path.ts'
import { DEFAULT_IGNORE } from './default-ignore.ts'

export interface IgnoreOptions {
  /**
   * `default`: the default list, .gitignore and .croftignore files hold. `none`: everything is uploaded. A
   * list: patterns as in a .gitignore of the folder, above all else, besides the default. Default `default`.
   */
  readonly ignore?: 'default' | 'none' | readonly string[]
  /**
   * Patterns as in a .gitignore of the folder. What they match is uploaded whole, whatever the ignore files
   * say of it or of anything in it: `['node_modules']`. Only the list in `ignore` is above them.
   */
  readonly include?: readonly string[]
}

export const GIT_IGNORE_FILE = '.gitignore'
export const CROFT_IGNORE_FILE = '.croftignore'

/**
 * What holds in one directory. Of the patterns that match an entry the weightiest decides: the list of the
 * caller, `include`, .croftignore files, .gitignore files, the default list; of files of one kind the
 * deepest; in one file the last. As in git, what is in an excluded directory stays excluded, and a .git is
 * no business of .gitignore.
 */
export interface Scope {
  readonly never: Layer
  readonly include: Layer
  readonly croft: readonly Layer[]
  readonly git: readonly Layer[]
  /** Everything that `never` does not exclude is in. */
  readonly whole: boolean
}

/** The contents of ignore files, and where they were found. */
export interface IgnoreFile {
  /** Directory, relative to the root of the upload; for one above it, the way down from there as `above`. */
  readonly dir: BytePath
  readonly above?: BytePath
  readonly kind: 'git' | 'croft'
  readonly content: Buffer
}

export function rootScope(options: IgnoreOptions, above: readonly IgnoreFile[]): Scope {
  const list = typeof options.ignore === 'object' ? options.ignore : []
  const root: Scope = {
    never: layer(list.map(fromText)),
    include: layer((options.include ?? []).map(fromText)),
    croft: [],
    git: [layer(DEFAULT_IGNORE)],
    whole: options.ignore === 'none',
  }
  if (root.whole) return root
  const scope = withFiles(root, above)
  // The caller asked for this very folder, whatever the repository around it says.
  return { ...scope, git: scope.git.map((each) => keeping(each, '')) }
}

/** The same with the ignore files that stand in the directory itself. */
export function withFiles(scope: Scope, files: readonly IgnoreFile[]): Scope {
  if (scope.whole || files.length === 0) return scope
  const layersOf = (kind: IgnoreFile['kind']) => files.filter((file) => file.kind === kind).map(fileLayer)
  return { ...scope, croft: [...scope.croft, ...layersOf('croft')], git: [...scope.git, ...layersOf('git')] }
}

/** Whether to look for ignore files in a directory at all. */
export function heedsFiles(scope: Scope): boolean {
  return !scope.whole
}

export type Decision = 'excluded' | 'kept' | 'whole'

/** For an entry of the directory that `scope` is of. */
export function decide(scope: Scope, path: BytePath, isDirectory: boolean): Decision {
  if (verdict(scope.never, path, isDirectory) === 'excluded') return 'excluded'
  if (scope.whole) return 'whole'
  if (verdict(scope.include, path, isDirectory) === 'excluded') return 'whole'
  const isGit = path === '.git' || path.endsWith('/.git')
  for (const layers of isGit ? [scope.croft] : [scope.croft, scope.git]) {
    for (let at = layers.length - 1; at >= 0; at--) {
      const said = verdict(layers[at] as Layer, path, isDirectory)
      if (said !== undefined) return said
    }
  }
  return 'kept'
}

/** For a directory that was not excluded. Its own ignore files are to be added. */
export function enter(scope: Scope, path: BytePath, decision: 'kept' | 'whole'): Scope {
  if (scope.whole) return scope
  if (decision === 'whole') return { ...scope, whole: true }
  const isGit = path === '.git' || path.endsWith('/.git')
  return {
    ...scope,
    croft: scope.croft.map((each) => keeping(each, path)),
    git: isGit ? [] : scope.git.map((each) => keeping(each, path)),
  }
}

/** Patterns, and where the paths that they speak of begin. */
interface Layer {
  readonly matcher: Ignore
  /** None at all: the common case of `never` and `include` costs nothing. */
  readonly empty: boolean
  /** Bytes to cut off the front of a path of the upload, and what to put there instead. */
  readonly cut: number
  readonly prefix: BytePath
}

function layer(patterns: readonly string[], where: { cut?: number; prefix?: BytePath } = {}): Layer {
  return {
    matcher: ignore({ ignorecase: false, allowRelativePaths: true }).add(patterns),
    empty: patterns.length === 0,
    cut: where.cut ?? 0,
    prefix: where.prefix ?? '',
  }
}

function fileLayer(file: IgnoreFile): Layer {
  const text = file.content.toString('latin1')
  const withoutBom = text.startsWith('\u00ef\u00bb\u00bf') ? text.slice(3) : text
  return layer(withoutBom.split('\n').map(withoutReturn), {
    cut: file.dir === '' ? 0 : file.dir.length + 1,
    prefix: file.above === undefined ? '' : `${file.above}/`,
  })
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line
}

function verdict(of: Layer, path: BytePath, isDirectory: boolean): 'excluded' | 'kept' | undefined {
  if (of.empty) return undefined
  const result = of.matcher.test(pathIn(of, path) + (isDirectory ? '/' : ''))
  return result.ignored ? 'excluded' : result.unignored ? 'kept' : undefined
}

function pathIn(of: Layer, path: BytePath): BytePath {
  return of.prefix + path.slice(of.cut)
}

/**
 * The matcher says of everything in a directory that it excludes: excluded. Where a weightier pattern kept
 * the directory that must not be passed down, so the matcher is told of that exception.
 */
function keeping(of: Layer, dir: BytePath): Layer {
  const path = dir === '' ? of.prefix.slice(0, -1) : pathIn(of, dir)
  if (of.empty || path === '' || !of.matcher.test(`${path}/`).ignored) return of
  // Parents too: the folder of the upload may be several levels below the one that is excluded.
  const parents = path.split('/').map((_, at, names) => names.slice(0, at + 1).join('/'))
  const exceptions = parents.map((parent) => ({ pattern: `!/${literal(parent)}/` }))
  const matcher = ignore({ ignorecase: false, allowRelativePaths: true }).add(of.matcher).add(exceptions)
  return { ...of, matcher }
}

function literal(path: BytePath): string {
  return path.replace(/[\\*?[\]]/g, '\\$&')
}
