import { createHash } from 'node:crypto'
import type { ByteString } from '../protocol/filesystem.ts'
import { gathered } from './gathered.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-header.ts'
import type { ArchiveSource } from './write.ts'
import { writeTar } from './write-tar.ts'

/** What a program that is started from the image finds, beside its files. */
export interface ImageConfig {
  /** `name:tag`. */
  readonly reference: string
  /** The directory in the image that the files are in. Empty: its root. */
  readonly at: ByteString
  /** As Go has it: amd64, arm64 … */
  readonly architecture: string
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly environment?: readonly string[]
  readonly workingDirectory?: string
  readonly user?: string
}

/** A layer of another image, taken over as it is. */
export interface BaseLayer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  read(): AsyncIterable<Buffer>
}

export interface BaseImage {
  readonly layers: readonly BaseLayer[]
  /** Its configuration, in the form of image-spec's config.md. */
  readonly config: Readonly<Record<string, unknown>>
}

/**
 * A tar of an OCI image layout (image-spec), with the `manifest.json` that older engines look for beside it. The image
 * has the layers of the base, if there is one, and one more. That layer is made twice: its name, which comes first, is
 * the hash of its bytes.
 */
export function writeImage(source: ArchiveSource, config: ImageConfig, base?: BaseImage): AsyncGenerator<Buffer> {
  return gathered(pieces(source, config, base))
}

async function* pieces(source: ArchiveSource, config: ImageConfig, base: BaseImage | undefined) {
  const { onContents: _, ...silent } = source
  const layer = await digestOf(writeTar(silent, { at: config.at }))
  const layers = [
    ...(base?.layers ?? []),
    { ...layer, mediaType: LAYER_TYPE, read: () => writeTar(source, { at: config.at }) },
  ]
  const configBlob = jsonBlob(configOf(config, layer.digest, base))
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: configBlob.digest, size: configBlob.size },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  })
  const index = {
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [
      {
        mediaType: MANIFEST_TYPE,
        digest: manifest.digest,
        size: manifest.size,
        annotations: {
          'io.containerd.image.name': fullName(config.reference),
          'org.opencontainers.image.ref.name': tagOf(config.reference),
        },
      },
    ],
  }
  const legacy = [
    {
      Config: blobPath(configBlob.digest),
      RepoTags: [config.reference],
      Layers: layers.map(({ digest }) => blobPath(digest)),
    },
  ]
  yield* file('oci-layout', Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' })))
  yield* file('index.json', Buffer.from(JSON.stringify(index)))
  yield* file('manifest.json', Buffer.from(JSON.stringify(legacy)))
  yield directory('blobs')
  yield directory('blobs/sha256')
  yield* file(blobPath(configBlob.digest), configBlob.bytes)
  yield* file(blobPath(manifest.digest), manifest.bytes)
  const written = new Set<string>()
  for (const { digest, size, read } of layers) {
    if (written.has(digest)) continue
    written.add(digest)
    yield tarHeader({ ...ATTRIBUTES, path: blobPath(digest), kind: 'file', size })
    yield* read()
    yield tarPadding(size)
  }
  yield tarEnd()
}

const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
/** Of an image nobody asks when it was made, and the same one is to be the same always. */
const CREATED = '1970-01-01T00:00:00Z'
const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0 } as const

function configOf(config: ImageConfig, layerDigest: string, base: BaseImage | undefined) {
  const { architecture, entrypoint, command, environment, workingDirectory, user } = config
  const old = base?.config ?? {}
  const oldConfig = isRecord(old['config']) ? old['config'] : {}
  const oldFs = isRecord(old['rootfs']) ? old['rootfs'] : {}
  const oldDiffs = Array.isArray(oldFs['diff_ids']) ? oldFs['diff_ids'] : []
  const oldHistory = Array.isArray(old['history']) ? old['history'] : []
  return {
    created: CREATED,
    architecture,
    os: 'linux',
    ...pick(old, ['architecture', 'os', 'os.version', 'variant']),
    config: {
      ...oldConfig,
      ...(environment === undefined ? {} : { Env: merged(oldConfig['Env'], environment) }),
      ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
      ...(command === undefined ? {} : { Cmd: command }),
      ...(workingDirectory === undefined ? {} : { WorkingDir: workingDirectory }),
      ...(user === undefined ? {} : { User: user }),
    },
    rootfs: { type: 'layers', diff_ids: [...oldDiffs, layerDigest] },
    history: [...oldHistory, { created: CREATED, created_by: 'croft export' }],
  }
}

/** A variable that both name has the later value. */
function merged(old: unknown, environment: readonly string[]): string[] {
  const name = (entry: string) => entry.slice(0, entry.indexOf('='))
  const names = new Set(environment.map(name))
  const kept = Array.isArray(old) ? old.filter((each): each is string => typeof each === 'string') : []
  return [...kept.filter((entry) => !names.has(name(entry))), ...environment]
}

async function digestOf(chunks: AsyncIterable<Buffer>): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    size += chunk.length
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

function jsonBlob(value: unknown) {
  const bytes = Buffer.from(JSON.stringify(value))
  return { bytes, size: bytes.length, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

function* file(path: string, bytes: Buffer): Generator<Buffer> {
  yield tarHeader({ ...ATTRIBUTES, path, kind: 'file', size: bytes.length })
  yield bytes
  yield tarPadding(bytes.length)
}

function directory(path: string): Buffer {
  return tarHeader({ ...ATTRIBUTES, path, kind: 'directory', mode: 0o755, size: 0 })
}

function tagOf(reference: string): string {
  return reference.slice(reference.lastIndexOf(':') + 1)
}

/** As containerd names images: with the registry that Docker would think of. */
function fullName(reference: string): string {
  const [first = '', ...rest] = reference.split('/')
  if (rest.length === 0) return `docker.io/library/${reference}`
  return /[.:]|^localhost$/.test(first) ? reference : `docker.io/${reference}`
}

function pick(from: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => typeof from[key] === 'string').map((key) => [key, from[key]]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
