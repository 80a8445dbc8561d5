import { gzip, zstd, zstdIsThere } from '../../fs-layer/archive/compress.ts'
import { type ArchiveItem, checked, layerItems, versionItems } from '../../fs-layer/archive/items.ts'
import type { ArchiveSource } from '../../fs-layer/archive/write.ts'
import { writeGitBundle } from '../../fs-layer/archive/write-git-bundle.ts'
import { type BaseImage, type ImageConfig, writeImage } from '../../fs-layer/archive/write-image.ts'
import { writeTar } from '../../fs-layer/archive/write-tar.ts'
import { writeZip } from '../../fs-layer/archive/write-zip.ts'
import { changesBetween } from '../../fs-layer/diff/changes-between.ts'
import { patchOf } from '../../fs-layer/diff/patch.ts'
import { compilePolicy, type Policy } from '../../fs-layer/policy/policy.ts'
import { READ } from '../../fs-layer/policy/rule.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { CroftError } from '../errors/croft-error.ts'
import type { Format, ParsedExport } from './export-spec.ts'

/** All that an archive is made from; it can be kept in a record. */
export interface ArchiveRequest extends Pick<ParsedExport, 'format' | 'since' | 'rules'> {
  readonly version: Hash
  readonly commitMessage: string
  readonly image: ImageConfig
}

export interface ArchiveOptions {
  readonly signal: AbortSignal
  readonly onContents: (bytes: number) => void
  readonly base?: BaseImage | undefined
}

/** What such a file is called at its end. */
export const EXTENSIONS: Readonly<Record<Format, string>> = {
  tar: '.tar',
  'tar.gz': '.tar.gz',
  'tar.zst': '.tar.zst',
  zip: '.zip',
  'oci-layer': '.layer.tar',
  'oci-image': '.oci.tar',
  patch: '.patch',
  'git-bundle': '.bundle',
}

/** Throws UNIMPLEMENTED where this machine cannot make that format. */
export function checkFormat(format: Format): void {
  if (format !== 'tar.zst' || zstdIsThere()) return
  const text =
    'spec.format cannot be TAR_ZST: the server has no program `zstd`; install it (Debian: zstd), or take TAR_GZ'
  throw new CroftError('UNIMPLEMENTED', text, { field: 'spec.format', reason: 'zstd_missing' })
}

/** The same request gives the same bytes always. Read no faster than it is taken; memory does not grow with sizes. */
export function archiveOf(store: Store, request: ArchiveRequest, options: ArchiveOptions): AsyncIterable<Buffer> {
  const { format, version, since, rules } = request
  const { base, ...reading } = options
  const policy = rules && compilePolicy(rules)
  const source = (items: () => Iterable<ArchiveItem>): ArchiveSource => ({ store, items, ...reading })
  const whole = (of: Hash) => () => versionItems(store, of, { policy })
  const layer = () => (since === null ? checked(whole(version)()) : layerItems(store, since, version, { policy }))
  const items = source(since === null ? whole(version) : layer)
  switch (format) {
    case 'tar':
      return writeTar(items)
    case 'tar.gz':
      return gzip(writeTar(items))
    case 'tar.zst':
      return zstd(writeTar(items), options.signal)
    case 'zip':
      return writeZip(items)
    case 'oci-layer':
      return writeTar(source(layer))
    case 'oci-image':
      return writeImage(source(layer), request.image, base)
    case 'patch':
      return patch(store, request, policy, options.signal)
    case 'git-bundle':
      return writeGitBundle(
        source(whole(version)),
        { message: request.commitMessage, branch: 'croft' },
        since === null ? undefined : source(whole(since)),
      )
  }
}

async function* patch(
  store: Store,
  { version, since }: ArchiveRequest,
  policy: Policy | undefined,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  // What cannot be read is not there: a patch is contents.
  const isSeen = policy && ((path: string) => policy.levelOf(path) >= READ)
  yield* patchOf(store, await changesBetween(store, since as Hash, version, { signal, isSeen }), signal)
}
