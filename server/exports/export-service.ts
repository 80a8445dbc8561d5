import { createHash } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { readImage } from '../../fs-layer/archive/read-image.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { ExportRequest, ExportResponseSchema, ExportService, ExportSpec } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { codebaseMessage } from '../codebases/codebase-message.ts'
import { checkText } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { archiveOf, checkFormat, EXTENSIONS } from './archive-of.ts'
import { type ExportSpecDependencies, parseExport } from './export-spec.ts'
import { parseImageConfig } from './image-config.ts'
import { type ImportDependencies, importArchive } from './import-archive.ts'
import { receive } from './incoming.ts'
import type { Versions } from './versions.ts'

export interface ExportServiceDependencies extends ExportSpecDependencies, ImportDependencies {
  readonly store: Store
  readonly versions: Versions
  readonly limits: Limits
}

export function exportService(parts: ExportServiceDependencies): Handlers<typeof ExportService> {
  const { codebases, store, versions, limits, incomingDir } = parts
  const underWay = { exports: 0, imports: 0 }

  /** Until it is disposed of. */
  function begin(what: keyof typeof underWay, most: number): Disposable {
    if (underWay[what] >= most) {
      throw new CroftError('RESOURCE_EXHAUSTED', `there are ${most} ${what} under way, which is the limit`)
    }
    underWay[what] += 1
    return {
      [Symbol.dispose]() {
        underWay[what] -= 1
      },
    }
  }

  async function* stream(
    spec: ExportSpec,
    more: AsyncIterator<ExportRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<MessageInitShape<typeof ExportResponseSchema>> {
    const parsed = parseExport(spec, parts)
    const { format, name, rules, since } = parsed
    const image = parseImageConfig(spec.image, limits)
    checkText(spec.commitMessage, 'spec.commit_message', limits.maxNameBytes)
    checkFormat(format)
    await using baseFile = spec.image?.hasBase === true ? await receiveBase(more) : undefined
    const { architecture } = image
    const base = baseFile && (await readImage(baseFile, { architecture, maxEntries: limits.maxTreeEntries }))
    await using held = await versions.hold(parsed.version, since, signal)
    const { hash: version, root, skipped } = held
    yield {
      message: {
        case: 'started',
        value: {
          rootHash: Buffer.from(version, 'hex'),
          contentsBytes: BigInt(root.bytes),
          skipped: BigInt(skipped),
          extension: EXTENSIONS[format],
        },
      },
    }
    let contentsRead = 0n
    let size = 0n
    const sha256 = createHash('sha256')
    const request = {
      format,
      version,
      since,
      rules,
      image,
      commitMessage: spec.commitMessage || `Exported from ${name}`,
    }
    const onContents = (bytes: number) => {
      contentsRead += BigInt(bytes)
    }
    for await (const data of archiveOf(store, request, { signal, onContents, base })) {
      sha256.update(data)
      size += BigInt(data.length)
      yield { message: { case: 'data', value: { data, contentsRead } } }
    }
    yield { message: { case: 'done', value: { size, sha256: sha256.digest() } } }
  }

  function receiveBase(more: AsyncIterator<ExportRequest>) {
    return receive({ dir: incomingDir, maxBytes: limits.maxArchiveBytes, field: 'base_image' }, baseOf(more))
  }

  return {
    async *export(requests, { signal }) {
      const more = requests[Symbol.asyncIterator]()
      const spec = await specOf(more)
      using _ = begin('exports', limits.maxExports)
      yield* stream(spec, more, signal)
    },

    import: async (requests, { signal }) => {
      using _ = begin('imports', limits.maxImports)
      const { codebase, format, size, sha256 } = await importArchive(requests, signal, parts)
      return { codebase: codebaseMessage(codebase, codebases.rootOf(codebase)), format, size: BigInt(size), sha256 }
    },
  }
}

async function specOf(requests: AsyncIterator<ExportRequest>): Promise<ExportSpec> {
  const { value: first } = (await requests.next()) as { value: ExportRequest | undefined }
  if (first?.message.case !== 'spec') throw invalid('spec', 'must be the first message of the stream')
  return first.message.value
}

async function* baseOf(requests: AsyncIterator<ExportRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const { message } = next.value
    if (message.case !== 'baseImage') throw invalid('spec', 'must come once: a stream is one export')
    yield message.value
  }
}
