import type { MessageInitShape } from '@bufbuild/protobuf'
import { list, lookup } from '../../fs-layer/store/lookup.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { type CodebaseService, CreateCodebaseRequestSchema, type FileInfoSchema } from '../../proto/index.ts'
import type { Quotas } from '../access/quotas.ts'
import type { Handlers } from '../api/handlers.ts'
import { timestampOf } from '../api/wire-time.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { parseEntryPath, parseViewPath, pathText } from '../files/view-path.ts'
import { once } from '../records/once.ts'
import type { CodebaseRecord } from '../records/record-types.ts'
import { codebaseMessage } from './codebase-message.ts'
import type { Codebases } from './codebases.ts'
import { putTree } from './put-tree.ts'
import { uploadFile } from './upload-file.ts'

export interface CodebaseServiceDependencies {
  readonly codebases: Codebases
  readonly store: Store
  readonly quotas: Pick<Quotas, 'check'>
  readonly limits: Limits
  readonly nowMs: () => number
  readonly serial: Serial
}

export function codebaseService(dependencies: CodebaseServiceDependencies): Handlers<typeof CodebaseService> {
  const { codebases, store, limits, serial } = dependencies
  const message = (record: CodebaseRecord) => codebaseMessage(record, codebases.rootOf(record))

  return {
    createCodebase: async (request, { caller }) => {
      const { name, ownerId } = request
      const [made] = await once({
        ...{ schema: CreateCodebaseRequestSchema, request, caller, serial, maxKeyBytes: limits.maxNameBytes },
        find: (hasKey) => codebases.select(hasKey),
        make: async (madeBy) => [await codebases.create(name, ownerId, undefined, madeBy)],
      })
      return message(made as CodebaseRecord)
    },

    getCodebase: async ({ codebaseId }) => message(codebases.get(codebaseId)),

    listCodebases: async ({ ownerId, pageSize, pageToken }, { caller }) => {
      const { items, nextPageToken } = codebases.list(ownerId, pageSize, pageToken, caller)
      return { codebases: items.map(message), nextPageToken }
    },

    deleteCodebase: async ({ codebaseId }) => {
      await codebases.delete(codebaseId)
      return {}
    },

    uploadFiles: (chunks) => uploadFile(chunks, dependencies),

    async *downloadFile({ codebaseId, filePath }) {
      const record = codebases.get(codebaseId)
      const path = parseEntryPath(filePath, 'file_path')
      const entry = lookup(store, record.root, path)
      if (entry.kind !== 'file') throw invalid('file_path', `is a ${entry.kind}`)
      for await (const data of store.readFile(entry.hash)) yield { data }
    },

    listFiles: async ({ codebaseId, path, recursive }) => {
      const record = codebases.get(codebaseId)
      const directory = parseViewPath(path, 'path')
      const files: MessageInitShape<typeof FileInfoSchema>[] = []
      for await (const { path: at, entry } of list(store, record.root, directory, recursive)) {
        if (files.length >= limits.maxListedFiles) throw tooMany(limits.maxListedFiles)
        files.push({
          path: pathText(at),
          name: pathText(entry.name),
          isDir: entry.kind === 'directory',
          size: entry.kind === 'file' ? BigInt(entry.size) : 0n,
          modifiedAt: timestampOf(entry.mtime, entry.mtimeNsec),
        })
      }
      return { files }
    },

    putTree: (requests) => putTree(requests, dependencies),
  }
}

function tooMany(limit: number): CroftError {
  return new CroftError('RESOURCE_EXHAUSTED', `there are more than ${limit} files: list one directory at a time`)
}
