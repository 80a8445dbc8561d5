import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { z } from 'zod'
import { MAX_IMAGE_JSON_BYTES, MAX_IMAGE_LAYERS } from '../limits.ts'
import { type Member, plainName, read } from './tar-index.ts'

/** One image, whatever form the archive has. */
export interface Contents {
  /** Of its configuration, which names what every layer unpacks to: so engines call the image. */
  readonly id: string
  readonly config: Buffer
  /** The lowest first. */
  readonly layers: readonly Member[]
}

type Members = ReadonlyMap<string, Member>

/** Of `docker save`. */
const savedSchema = z.array(z.object({ Config: z.string(), Layers: z.array(z.string()).nullable() }))

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const platform = z.object({ os: z.string(), architecture: z.string() })
/** Of the OCI image specification: `index.json`, and an index that it may lead to. */
const indexSchema = z.object({ manifests: z.array(z.object({ digest, platform: platform.optional() })) })
const manifestSchema = z.object({ config: z.object({ digest }), layers: z.array(z.object({ digest })) })

/** An index within an index, and no further. */
const MAX_INDEXES = 3

/** Rejects with what is wrong with the archive. */
export async function readContents(file: FileHandle, members: Members): Promise<Contents> {
  const found = members.has('manifest.json') ? await readSaved(file, members) : await readLayout(file, members)
  const { layers, config } = found
  if (layers.length > MAX_IMAGE_LAYERS) throw new Error(`has ${layers.length} layers; ${MAX_IMAGE_LAYERS} are the most`)
  return { id: sha256(config), config, layers: layers.map((name) => memberOf(members, name)) }
}

interface Found {
  readonly config: Buffer
  readonly layers: readonly string[]
}

async function readSaved(file: FileHandle, members: Members): Promise<Found> {
  const [image, ...more] = parse(savedSchema, await contentOf(file, members, 'manifest.json'), 'manifest.json')
  if (image === undefined) throw new Error('has no image in it')
  if (more.length > 0) throw new Error(`has ${more.length + 1} images in it: save the one alone`)
  return { config: await contentOf(file, members, image.Config), layers: image.Layers ?? [] }
}

async function readLayout(file: FileHandle, members: Members): Promise<Found> {
  if (!members.has('index.json'))
    throw new Error('is no archive of an image: it has no manifest.json and no index.json')
  const blob = (named: string) => `blobs/${named.replace(':', '/')}`
  const verified = async (named: string) => {
    const content = await contentOf(file, members, blob(named))
    if (sha256(content) !== named) throw new Error(`is damaged: ${blob(named)} is not what its name says`)
    return content
  }
  let content = await contentOf(file, members, 'index.json')
  for (let depth = 0; depth < MAX_INDEXES; depth++) {
    const index = indexSchema.safeParse(json(content, 'an index'))
    if (!index.success) break
    content = await verified(chosen(index.data.manifests))
  }
  const manifest = parse(manifestSchema, content, 'the manifest')
  return {
    config: await verified(manifest.config.digest),
    layers: manifest.layers.map((layer) => blob(layer.digest)),
  }
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64' }

function chosen(manifests: z.infer<typeof indexSchema>['manifests']): string {
  const [only] = manifests
  if (only !== undefined && manifests.length === 1) return only.digest
  const architecture = ARCHITECTURES[process.arch] ?? process.arch
  const fitting = manifests.filter(
    (each) => each.platform?.os === 'linux' && each.platform.architecture === architecture,
  )
  const [one] = fitting
  if (one !== undefined && fitting.length === 1) return one.digest
  throw new Error(`has ${manifests.length} images in it, of which ${fitting.length} are for linux/${architecture}`)
}

function memberOf(members: Members, name: string): Member {
  const member = members.get(plainName(name))
  if (member === undefined) throw new Error(`lacks its part ${JSON.stringify(name.slice(0, 200))}`)
  return member
}

async function contentOf(file: FileHandle, members: Members, name: string): Promise<Buffer> {
  const { at, bytes } = memberOf(members, name)
  if (bytes > MAX_IMAGE_JSON_BYTES) throw new Error(`has a description of more than ${MAX_IMAGE_JSON_BYTES} bytes`)
  return read(file, at, bytes)
}

function json(content: Buffer, what: string): unknown {
  try {
    return JSON.parse(content.toString('utf8'))
  } catch {
    throw new Error(`is damaged: ${what} is no JSON`)
  }
}

function parse<T>(schema: z.ZodType<T>, content: Buffer, what: string): T {
  const parsed = schema.safeParse(json(content, what))
  if (parsed.success) return parsed.data
  throw new Error(`is no image that can be used: ${what} lacks ${parsed.error.issues[0]?.path.join('.')}`)
}

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
