import { DeltaError } from './delta-error.ts'
import type { DeltaOptions } from './delta-options.ts'
import { IndexFiles } from './index-files.ts'
import { logPath } from './log-file.ts'
import type { CutOff } from './mend-index.ts'
import type { Index } from './open-index.ts'
import { decodeMeta, encodeMeta, META_KEY, type Meta } from './record.ts'
import { recoverLog } from './recover-log.ts'
import { nextNodeOf } from './replay.ts'
import { writeBatch } from './write-batch.ts'

/**
 * Of what is in an index, what must be known before the rest, which another version may have in another form. Undefined:
 * nothing was written yet.
 *
 * @throws {DeltaError}
 */
export function readMeta(index: Index, { dir, base }: Pick<DeltaOptions, 'dir' | 'base'>): Meta | undefined {
  const value = index.getSync(META_KEY)
  if (value === undefined) return undefined
  const meta = decodeMeta(value)
  if (meta.base === base) return meta
  throw new DeltaError('base', `${dir}: made over base ${meta.base}, opened over ${base}`)
}

/**
 * Brings an index that was opened to the last sync, where it has not got that far: in one batch, synced, so that a crash
 * meanwhile leaves it as it was. `cut` is what had to be cut off of LevelDB's own log: told where the log of syncs has no more.
 */
export async function recoverIndex(
  index: Index,
  cut: CutOff | null,
  options: Pick<DeltaOptions, 'dir' | 'base' | 'onCutOff'>,
): Promise<void> {
  const { dir, onCutOff } = options
  const meta = readMeta(index, options)
  const logged = meta === undefined ? null : recoverLog(dir, meta)
  if (meta !== undefined && logged !== null && logged.operations.length > 0) {
    const records = logged.operations.filter(({ key }) => !key.equals(META_KEY))
    const nextNode = Math.max(meta.nextNode, nextNodeOf(logged.operations))
    const value = encodeMeta({ ...meta, nextNode, batch: logged.batch, log: '' })
    await writeBatch(index, [{ type: 'put', key: META_KEY, value }, ...records], { sync: true })
    await new IndexFiles(dir).sync()
  }
  if (cut !== null && (cut.lastBatch === 0 || cut.lastBatch > (logged?.batch ?? 0))) onCutOff(cut)
  if (logged?.cutOff != null) onCutOff({ log: logPath(dir), ...logged.cutOff })
}
