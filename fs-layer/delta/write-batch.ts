import type { Index } from './open-index.ts'
import type { Operation } from './operations.ts'

/**
 * Writes all of them or none. They are handed to LevelDB one by one: a third of the processor time of an array of them,
 * of which every record is copied, checked and taken apart again on the way.
 */
export async function writeBatch(
  index: Index,
  operations: Iterable<Operation>,
  options: { sync: boolean },
): Promise<void> {
  const batch = index.batch()
  for (const operation of operations) {
    if (operation.type === 'put') batch.put(operation.key, operation.value)
    else batch.del(operation.key)
  }
  await batch.write(options)
}
