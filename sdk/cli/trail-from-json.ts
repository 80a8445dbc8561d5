import { z } from 'zod'
import { InvalidArgumentError } from '../errors.ts'
import type { AccessTrail } from '../trail.ts'

const count = z.int().min(0)
const level = z.enum(['none', 'view', 'read', 'write'])

/** What `trailToJson` makes. */
const trailSchema = z.object({
  sandboxId: z.string(),
  codebaseId: z.string(),
  permissions: z.array(
    z.object({
      pattern: z.string(),
      level,
      type: z.enum(['glob', 'directory', 'file']).default('glob'),
      priority: z.int().default(0),
    }),
  ),
  entries: z.array(
    z.object({
      path: z.string(),
      /** Its bytes in base 64, where they are no UTF-8. */
      bytes: z.base64().optional(),
      directory: z.boolean(),
      below: z.boolean(),
      look: count,
      list: count,
      read: count,
      write: count,
      remove: count,
      move: count,
      refused: z.object({ view: count, read: count, write: count }),
    }),
  ),
})

/** Throws an `InvalidArgumentError` that names the first field which is wrong. */
export function trailFromJson(text: string): AccessTrail {
  const parsed = trailSchema.safeParse(parseJson(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = issue?.path.join('.') ?? ''
    throw new InvalidArgumentError(`This is no access trail: ${field} ${issue?.message ?? ''}`.trim(), 'trail', {
      remedy: 'Make one with `croft trail SANDBOX --json`',
    })
  }
  const { entries, ...trail } = parsed.data
  return {
    ...trail,
    entries: entries.map(({ bytes, ...entry }) => ({
      ...entry,
      rawPath: bytes === undefined ? Buffer.from(entry.path, 'utf8') : Buffer.from(bytes, 'base64'),
    })),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON, and so nothing that the schema takes.
    return undefined
  }
}
