import type { ViewHandle } from '../../fs-layer/index.ts'
import { Errno } from '../../fs-layer/protocol/errno.ts'
import type { ByteString } from '../../fs-layer/protocol/filesystem.ts'
import type { FileService, WriteFileRequest } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import { errnoToCroftError } from '../errors/errno-status.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'
import { fileEntry, parsePrincipal } from './file-entry.ts'
import { parseEntryPath, parseViewPath, pathText } from './view-path.ts'
import { Watches, watchFiles } from './watch-files.ts'

export interface FileServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly views: Views
  readonly limits: Limits
}

/** The files of a view, as the commands inside see them or as its owner does. */
export function fileService({ sandboxes, views, limits }: FileServiceDependencies): Handlers<typeof FileService> {
  const watches = new Watches(limits.maxWatchesPerSandbox)

  /** Requests are checked before this: what is wrong with one does not depend on whether a view can be opened. */
  async function withView<T>(id: string, path: ByteString, work: (view: ViewHandle) => Promise<T>): Promise<T> {
    const lease = await views.lease(sandboxes.get(id))
    try {
      return await work(lease.view)
    } catch (error) {
      throw aboutPath(error, path)
    } finally {
      lease.release()
    }
  }

  async function* streamView<T>(
    id: string,
    path: ByteString,
    work: (view: ViewHandle) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const lease = await views.lease(sandboxes.get(id))
    try {
      yield* work(lease.view)
    } catch (error) {
      throw aboutPath(error, path)
    } finally {
      lease.release()
    }
  }

  return {
    async *readFile({ sandboxId, path: bytes, principal, offset, length }) {
      const path = parseEntryPath(bytes, 'path')
      const as = parsePrincipal(principal)
      const from = natural(offset, 'offset')
      const count = natural(length, 'length')
      const read = (view: ViewHandle) => view.read(path, as, from, count === 0 ? undefined : count)
      for await (const data of streamView(sandboxId, path, read)) yield { data }
    },

    writeFile: async (requests) => {
      const stream = requests[Symbol.asyncIterator]()
      const first = await stream.next()
      if (first.done === true || first.value.message.case !== 'start')
        throw invalid('start', 'must be the first message')
      const start = first.value.message.value
      const path = parseEntryPath(start.path, 'start.path')
      const as = parsePrincipal(start.principal)
      if (start.append && start.exclusive) throw invalid('start.exclusive', 'must not be given together with `append`')
      const options = {
        mode: parseMode(start.mode, 'start.mode', 0o644),
        parents: start.parents,
        append: start.append,
        exclusive: start.exclusive,
      }
      const write = (view: ViewHandle) => view.write(path, as, dataOf(stream, limits.maxUploadBytes), options)
      return fileEntry(await withView(start.sandboxId, path, write))
    },

    statFile: async ({ sandboxId, path: bytes, principal }) => {
      const path = parseViewPath(bytes, 'path')
      const as = parsePrincipal(principal)
      return fileEntry(await withView(sandboxId, path, (view) => view.stat(path, as)))
    },

    async *listDirectory({ sandboxId, path: bytes, principal, recursive }) {
      const path = parseViewPath(bytes, 'path')
      const as = parsePrincipal(principal)
      const list = (view: ViewHandle) => view.list(path, as, recursive)
      for await (const entries of streamView(sandboxId, path, list)) yield { entries: entries.map(fileEntry) }
    },

    makeDirectory: async ({ sandboxId, path: bytes, principal, mode }) => {
      const path = parseEntryPath(bytes, 'path')
      const as = parsePrincipal(principal)
      const bits = parseMode(mode, 'mode', 0o755)
      return fileEntry(await withView(sandboxId, path, (view) => view.mkdir(path, as, bits)))
    },

    removeFile: async ({ sandboxId, path: bytes, principal, recursive }) => {
      const path = parseEntryPath(bytes, 'path')
      const as = parsePrincipal(principal)
      await withView(sandboxId, path, (view) => view.remove(path, as, recursive))
      return {}
    },

    renameFile: async ({ sandboxId, from: fromBytes, to: toBytes, principal }) => {
      const from = parseEntryPath(fromBytes, 'from')
      const to = parseEntryPath(toBytes, 'to')
      const as = parsePrincipal(principal)
      await withView(sandboxId, from, (view) => view.rename(from, to, as))
      return {}
    },

    watchFiles: (request, { signal }) => watchFiles(request, { sandboxes, views, watches, signal }),
  }
}

/** Says which path an errno is about. */
function aboutPath(error: unknown, path: ByteString): unknown {
  if (!(error instanceof Errno)) return error
  return errnoToCroftError(error, `/${printable(pathText(path))}`) ?? error
}

function natural(value: bigint, field: string): number {
  if (value < 0n) throw invalid(field, 'must not be negative')
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(field, 'is too large')
  return Number(value)
}

function parseMode(mode: number, field: string, fallback: number): number {
  if (mode > 0o7777) throw invalid(field, 'has bits beyond 07777')
  return mode === 0 ? fallback : mode
}

async function* dataOf(stream: AsyncIterator<WriteFileRequest>, maxBytes: number): AsyncGenerator<Buffer> {
  let received = 0
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { message } = next.value
    if (message.case !== 'data') throw invalid('start', 'must come once: a call writes one file')
    received += message.value.length
    if (received > maxBytes) throw new CroftError('RESOURCE_EXHAUSTED', `a file may have at most ${maxBytes} bytes`)
    yield Buffer.from(message.value.buffer, message.value.byteOffset, message.value.length)
  }
}
