import { FileService, SandboxService, SnapshotService } from '../../proto/index.ts'
import type { AsOption } from '../as.ts'
import { principalOf } from '../as.ts'
import type { Connection } from '../client/connection.ts'
import { listApplicable } from '../diff.ts'
import type { SandboxInfo } from '../sandbox-info.ts'
import { createRequest } from '../sandbox-spec.ts'
import { createSnapshot } from '../snapshots.ts'
import { type BytePath, toBytes } from '../upload/byte-path.ts'
import { type ApplyOptions, type ApplyResult, applyChanges } from './apply.ts'

/**
 * What a sandbox changed, made in a local folder. It is taken from a snapshot, so that what comes is of one moment though
 * commands run; that, and the sandbox through which it is read, are gone afterwards.
 */
export async function applySandbox(
  connection: Connection,
  { id, permissions }: Pick<SandboxInfo, 'id' | 'permissions'>,
  folder: string,
  options: ApplyOptions & AsOption,
): Promise<ApplyResult> {
  const { as = 'sandbox', signal } = options
  const call = signal === undefined ? {} : { signal }
  const snapshot = await createSnapshot(connection, id, { labels: { 'croft.for': 'apply' }, ...call })
  let reader: string | undefined
  try {
    const changes = await listApplicable(connection, id, { from: 'origin', to: snapshot.id, as, ...call })
    return await applyChanges(folder, changes, read, options)
  } finally {
    if (reader !== undefined) await connection.unary(SandboxService.method.destroySandbox, { sandboxId: reader })
    await connection.unary(SnapshotService.method.deleteSnapshot, { snapshotId: snapshot.id })
  }

  async function* read(path: BytePath): AsyncGenerator<Uint8Array> {
    // Under the rules of the sandbox: what it could not read is not read for it.
    const spec = { preset: null, permissions: [...permissions], start: false, labels: { 'croft.for': 'apply' } }
    const request = createRequest({ snapshotId: snapshot.id }, spec)
    reader ??= (await connection.unary(SandboxService.method.createSandbox, request)).id
    const file = { sandboxId: reader, path: toBytes(path), principal: principalOf(as) }
    for await (const { data } of connection.serverStream(FileService.method.readFile, file, call)) yield data
  }
}
