import { createHash } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Store } from '../../fs-layer/store/store.ts'
import type { ExportRequest, ExportResponseSchema, ExportService, ExportSpec } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { checkText } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { archiveOf, checkFormat, EXTENSIONS } from './archive-of.ts'
import { type ExportSpecDependencies, parseExport } from './export-spec.ts'
import { parseImageConfig } from './image-config.ts'
import type { Versions } from './versions.ts'

export interface ExportServiceDependencies extends ExportSpecDependencies {
  readonly store: Store
  readonly versions: Versions
  readonly limits: Limits
}

export function exportService(parts: ExportServiceDependencies): Handlers<typeof ExportService> {
  const { store, versions, limits } = parts
  let open = 0

  async function* stream(
    spec: ExportSpec,
    signal: AbortSignal,
  ): AsyncGenerator<MessageInitShape<typeof ExportResponseSchema>> {
    const parsed = parseExport(spec, parts)
    const { format, name, policy, since } = parsed
    const image = parseImageConfig(spec.image, limits)
    checkText(spec.commitMessage, 'spec.commit_message', limits.maxNameBytes)
    checkFormat(format)
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
      policy,
      image,
      commitMessage: spec.commitMessage || `Exported from ${name}`,
    }
    const onContents = (bytes: number) => {
      contentsRead += BigInt(bytes)
    }
    for await (const data of archiveOf(store, request, { signal, onContents })) {
      sha256.update(data)
      size += BigInt(data.length)
      yield { message: { case: 'data', value: { data, contentsRead } } }
    }
    yield { message: { case: 'done', value: { size, sha256: sha256.digest() } } }
  }

  return {
    async *export(requests, { signal }) {
      const spec = await specOf(requests[Symbol.asyncIterator]())
      if (open >= limits.maxExports) {
        throw new CroftError(
          'RESOURCE_EXHAUSTED',
          `there are ${limits.maxExports} exports under way, which is the limit`,
        )
      }
      open += 1
      try {
        yield* stream(spec, signal)
      } finally {
        open -= 1
      }
    },
  }
}

async function specOf(requests: AsyncIterator<ExportRequest>): Promise<ExportSpec> {
  const { value: first } = (await requests.next()) as { value: ExportRequest | undefined }
  if (first?.message.case !== 'spec') throw invalid('spec', 'must be the first message of the stream')
  const spec = first.message.value
  if (spec.image?.hasBase === true) {
    const text = 'spec.image.has_base: images on top of others cannot be made yet'
    throw new CroftError('UNIMPLEMENTED', text, { field: 'spec.image.has_base' })
  }
  return spec
}
