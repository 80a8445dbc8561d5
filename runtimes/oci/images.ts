import { type EngineImage, parseImageName, registryOf } from '../contract/image-name.ts'
import { type LaunchSpec, RuntimeError } from '../contract/runtime.ts'
import { type ArchivePlaces, openImageArchive } from './archive/image-archive.ts'
import type { Engine, EngineName, FetchOptions } from './engine.ts'
import { type Image, type InspectedImage, readImage } from './image.ts'
import { credentialsFor } from './registry-login.ts'

export interface ImagesOptions {
  readonly runtime: EngineName
  /** Where archives may lie. */
  readonly archives: ArchivePlaces
  /** Of Docker's: what `docker login` wrote. Podman reads its own. */
  readonly dockerConfig: string
}

type Wanted = Pick<LaunchSpec, 'image' | 'pull' | 'onImage' | 'workspace'>

/** The image that a sandbox is to have, fetched where need be. Rejects with a `RuntimeError`, mostly an `image`. */
export async function obtainImage(
  { image: text = '', pull = 'missing', onImage, workspace }: Wanted,
  options: ImagesOptions,
  { engine, signal }: { readonly engine: Engine; readonly signal: AbortSignal | undefined },
): Promise<Image> {
  const refuse = (message: string, cause?: unknown) =>
    new RuntimeError('image', options.runtime, `image${message}`, { cause })
  if (text === '') throw refuse(` is missing: name one that ${options.runtime} has`)
  const name = parseImageName(text)
  if (name === undefined) throw refuse(`: ${JSON.stringify(text)} is no name of one`)
  const fetch: FetchOptions = { onProgress: onImage, signal }
  const found =
    name.kind === 'archive' ? await loaded(name.path) : pull === 'always' ? await pulled(name) : await present(name)
  const image = readImage(found, workspace)
  if ('fault' in image) throw refuse(`: ${text} cannot be used: ${image.fault}`)
  return image

  async function present(wanted: EngineImage): Promise<InspectedImage> {
    const there = await engine.image(wanted.name)
    if (there !== undefined) return there
    if (pull === 'never' || wanted.source === undefined) {
      const remedy = wanted.source === undefined ? 'name it by its registry' : `${options.runtime} pull ${wanted.name}`
      throw refuse(`: ${options.runtime} has none of the name ${wanted.name}: ${remedy}`)
    }
    return pulled(wanted)
  }

  async function pulled(wanted: EngineImage): Promise<InspectedImage> {
    const { source } = wanted
    if (source === undefined)
      throw refuse(`: ${wanted.name} is an id, which no registry knows: name it by its registry`)
    const registry = registryOf(source.repository)
    try {
      const credentials =
        options.runtime === 'docker' ? await credentialsFor(registry, options.dockerConfig) : undefined
      await engine.pull(source, credentials, fetch)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof RuntimeError && error.code === 'unavailable') throw error
      const why = error instanceof Error ? error.message : String(error)
      // What is to be done first: who passes this on may not pass on all of it.
      const [again, login] = [`${options.runtime} pull ${wanted.name}`, `${options.runtime} login ${registry}`]
      const remedy = `try \`${again}\` on the server's host, after \`${login}\` where it is private`
      throw refuse(`: ${wanted.name} cannot be had: ${remedy}: ${why}`, error)
    }
    const there = await engine.image(wanted.name)
    if (there === undefined) throw refuse(`: ${wanted.name} was pulled, and is gone again`)
    return there
  }

  async function loaded(path: string): Promise<InspectedImage> {
    const archive = await openImageArchive(path, options.archives).catch((error: unknown) => {
      throw refuse(`: ${error instanceof Error ? error.message : String(error)}`, error)
    })
    try {
      // Its content is its name: what was loaded before need not be again.
      const there = await engine.image(archive.id)
      if (there !== undefined) return there
      await engine.load(archive.read(signal), fetch).catch((error: unknown) => {
        signal?.throwIfAborted()
        const fault = archive.fault()
        if (fault !== undefined) throw refuse(`: ${path} ${fault}`, error)
        throw error
      })
      const made = await engine.image(archive.id)
      if (made === undefined) throw refuse(`: ${path} was loaded, but ${options.runtime} has no ${archive.id} now`)
      return made
    } finally {
      await archive.close()
    }
  }
}
