import { posix } from 'node:path'

/** What a request may name as the image of a sandbox. */
export type ImageName = EngineImage | ImageArchive

/** One that an engine has, or can pull. */
export interface EngineImage {
  readonly kind: 'engine'
  /** As the engine is asked for it. */
  readonly name: string
  /** Where it comes from; absent for an image's own id, which no registry knows. `tag` may be a digest. */
  readonly source?: { readonly repository: string; readonly tag: string }
}

/** A file on the server's host. */
export interface ImageArchive {
  readonly kind: 'archive'
  /** What the name says it is; what it is, is looked at. */
  readonly format: 'docker-archive' | 'oci-archive'
  /** Absolute and normal. */
  readonly path: string
}

const ARCHIVE = /^(docker-archive|oci-archive):(.*)$/
/** A leading `-` would be an option of a command line; `..`, an empty part or a blank another path of an engine's API. */
const REGISTRY = /^(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9-]+(?=:\d))(?::\d{1,5})?\//i
const PATH = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][\w.-]{0,127}$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
/** An image's own id, as engines print it. */
const ID = /^(?:sha256:)?[0-9a-f]{64}$/

/** `undefined`: it is no name of an image. */
export function parseImageName(text: string): ImageName | undefined {
  const [, format, path = ''] = ARCHIVE.exec(text) ?? []
  if (format !== undefined) {
    const isNormal = posix.isAbsolute(path) && posix.resolve(path) === path && !/\p{Cc}/u.test(path)
    return isNormal ? { kind: 'archive', format: format as ImageArchive['format'], path } : undefined
  }
  if (ID.test(text)) return { kind: 'engine', name: text }
  const [name = '', digest, ...more] = text.split('@')
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return undefined
  const registry = REGISTRY.exec(name)?.[0] ?? ''
  const [below = '', tag, ...colons] = name.slice(registry.length).split(':')
  if (!PATH.test(below) || colons.length > 0 || (tag !== undefined && !TAG.test(tag))) return undefined
  const repository = registry + below
  // A digest wins over a tag beside it.
  if (digest !== undefined) {
    return { kind: 'engine', name: `${repository}@${digest}`, source: { repository, tag: digest } }
  }
  return { kind: 'engine', name, source: { repository, tag: tag ?? 'latest' } }
}

/** The registry that a repository is in; one that names none is in Docker's own. */
export function registryOf(repository: string): string {
  return REGISTRY.exec(repository)?.[0].slice(0, -1) ?? 'docker.io'
}
