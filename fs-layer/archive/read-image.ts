import { createHash } from 'node:crypto'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFile, chunksAt, readAt } from './archive-file.ts'
import { ByteReader } from './byte-reader.ts'
import { compressionOf } from './decompress.ts'
import { readTar } from './read-tar.ts'
import type { BaseImage, BaseLayer } from './write-image.ts'

/** Of the descriptions of an image; they are read as a whole. */
const MAX_JSON_BYTES = 4 * 1024 * 1024
const MAX_LAYERS = 500
/** Of an index of indexes of images. */
const MAX_DEPTH = 4

export interface ReadImageOptions {
  /** As Go has it; of an image for several, that one is taken. */
  readonly architecture: string
  readonly maxEntries: number
}

/**
 * An image in a tar: an OCI layout, or what `docker save` and `podman save` write. What a digest names is checked
 * against it before it is believed.
 *
 * @throws {ArchiveError}
 */
export async function readImage(file: ArchiveFile, options: ReadImageOptions): Promise<BaseImage> {
  const blobs = await placesOf(file, options.maxEntries)
  if (blobs.has('index.json')) return await fromLayout(file, blobs, options)
  if (blobs.has('manifest.json')) return await fromDocker(file, blobs)
  throw new ArchiveError('unsupported', 'It is no image: there is neither index.json nor manifest.json in it')
}

interface Place {
  readonly at: number
  readonly size: number
}

type Places = ReadonlyMap<string, Place>

/** Where the contents of its files are; a link is where what it leads to is. */
async function placesOf(file: ArchiveFile, maxEntries: number): Promise<Places> {
  const places = new Map<string, Place>()
  await using reader = new ByteReader(chunksAt(file))
  for await (const { path, kind, size, target } of readTar(reader)) {
    const name = path.replace(/^(?:\.\/)+/, '')
    if (places.size >= maxEntries) throw new ArchiveError('limit', `More than ${maxEntries} entries`, path)
    if (kind === 'file') places.set(name, { at: reader.position, size })
    const linked = places.get(resolved(name, target))
    // podman save names a layer that two images have once, and links to it.
    if (kind === 'symlink' && linked !== undefined) places.set(name, linked)
  }
  return places
}

async function fromLayout(file: ArchiveFile, blobs: Places, { architecture }: ReadImageOptions): Promise<BaseImage> {
  let index = await jsonAt(file, placeOf(blobs, 'index.json'))
  for (let depth = 0; Array.isArray(index['manifests']); depth++) {
    if (depth >= MAX_DEPTH) throw new ArchiveError('unsupported', 'An index of an index of an index …')
    index = await jsonOf(file, blobs, chosen(index['manifests'].filter(isRecord), architecture))
  }
  if (!isRecord(index['config']) || !Array.isArray(index['layers'])) {
    throw new ArchiveError('damaged', 'The manifest of the image has no config and no layers')
  }
  const config = await jsonOf(file, blobs, index['config'])
  const layers = index['layers'].filter(isRecord).map((layer) => layerOf(file, blobs, layer))
  return { config, layers: checked(layers) }
}

async function fromDocker(file: ArchiveFile, blobs: Places): Promise<BaseImage> {
  const manifest: unknown = await jsonAt(file, placeOf(blobs, 'manifest.json'))
  const [image] = Array.isArray(manifest) ? manifest : []
  if (!isRecord(image) || typeof image['Config'] !== 'string' || !Array.isArray(image['Layers'])) {
    throw new ArchiveError('damaged', 'manifest.json names no image')
  }
  const layers: BaseLayer[] = []
  for (const path of image['Layers']) {
    const { at, size } = placeOf(blobs, String(path))
    const hash = createHash('sha256')
    for await (const chunk of chunksAt(file, at, size)) hash.update(chunk)
    const gzip = compressionOf(await readAt(file, at, Math.min(size, 4))) === 'gzip'
    const mediaType = gzip ? `${TAR_TYPE}+gzip` : TAR_TYPE
    layers.push({ mediaType, digest: `sha256:${hash.digest('hex')}`, size, read: () => chunksAt(file, at, size) })
  }
  return { config: await jsonAt(file, placeOf(blobs, image['Config'])), layers: checked(layers) }
}

const TAR_TYPE = 'application/vnd.oci.image.layer.v1.tar'

function checked(layers: readonly BaseLayer[]): readonly BaseLayer[] {
  if (layers.length <= MAX_LAYERS) return layers
  throw new ArchiveError('limit', `An image of more than ${MAX_LAYERS} layers`)
}

/** Of those for this kind of machine the first, else the first of all. */
function chosen(manifests: readonly Json[], architecture: string): Json {
  const fits = manifests.find(({ platform }) => isRecord(platform) && platform['architecture'] === architecture)
  const found = fits ?? manifests[0]
  if (found === undefined) throw new ArchiveError('damaged', 'index.json names no image')
  return found
}

function layerOf(file: ArchiveFile, blobs: Places, descriptor: Json): BaseLayer {
  const { digest, place } = blobOf(blobs, descriptor)
  const mediaType = typeof descriptor['mediaType'] === 'string' ? descriptor['mediaType'] : TAR_TYPE
  return { mediaType, digest, size: place.size, read: () => verified(file, place, digest) }
}

async function jsonOf(file: ArchiveFile, blobs: Places, descriptor: Json): Promise<Json> {
  const { digest, place } = blobOf(blobs, descriptor)
  return await jsonAt(file, place, digest)
}

function blobOf(blobs: Places, descriptor: Json): { digest: string; place: Place } {
  const digest = String(descriptor['digest'])
  if (!/^sha256:[0-9a-f]{64}$/.test(digest))
    throw new ArchiveError('unsupported', 'A digest that is no SHA-256', digest)
  return { digest, place: placeOf(blobs, `blobs/${digest.replace(':', '/')}`) }
}

function placeOf(blobs: Places, name: string): Place {
  const place = blobs.get(name)
  if (place === undefined) throw new ArchiveError('damaged', 'The image lacks what it names', name)
  return place
}

async function jsonAt(file: ArchiveFile, place: Place, digest?: string): Promise<Json> {
  if (place.size > MAX_JSON_BYTES) throw new ArchiveError('limit', `A description of more than ${MAX_JSON_BYTES} bytes`)
  const chunks: Buffer[] = []
  const source = digest === undefined ? chunksAt(file, place.at, place.size) : verified(file, place, digest)
  for await (const chunk of source) chunks.push(chunk)
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
    if (typeof value === 'object' && value !== null) return value as Json
  } catch (error) {
    throw new ArchiveError('damaged', 'A description of the image is no JSON', undefined, error)
  }
  throw new ArchiveError('damaged', 'A description of the image is no object')
}

async function* verified(file: ArchiveFile, { at, size }: Place, digest: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  for await (const chunk of chunksAt(file, at, size)) {
    hash.update(chunk)
    yield chunk
  }
  if (`sha256:${hash.digest('hex')}` === digest) return
  throw new ArchiveError('damaged', 'What a digest names has other contents', digest)
}

type Json = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function resolved(name: string, target: string): string {
  const names = name.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '..') names.pop()
    else if (part !== '.' && part !== '') names.push(part)
  }
  return names.join('/')
}
