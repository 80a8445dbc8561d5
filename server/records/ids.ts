import { randomBytes } from 'node:crypto'
import { invalid } from '../errors/croft-error.ts'

export type IdPrefix = 'cb' | 'sb' | 'sess' | 'cmd' | 'snap' | 'tok' | 'ckpt' | 'job'

/** 64 random bits: an id cannot be guessed. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${randomBytes(8).toString('hex')}`
}

/** Throws INVALID_ARGUMENT naming `field`. Whether there is such a thing is another question. */
export function checkId(prefix: IdPrefix, id: string, field: string): string {
  if (id === '') throw invalid(field, 'is missing')
  if (!isId(prefix, id)) throw invalid(field, `is no id: one is \`${prefix}_\` and 16 hex digits`)
  return id
}

export function isId(prefix: IdPrefix, id: string): boolean {
  return PATTERNS[prefix].test(id)
}

const PATTERNS = {
  cb: /^cb_[0-9a-f]{16}$/,
  sb: /^sb_[0-9a-f]{16}$/,
  sess: /^sess_[0-9a-f]{16}$/,
  cmd: /^cmd_[0-9a-f]{16}$/,
  ckpt: /^ckpt_[0-9a-f]{16}$/,
  snap: /^snap_[0-9a-f]{16}$/,
  tok: /^tok_[0-9a-f]{16}$/,
  job: /^job_[0-9a-f]{16}$/,
} as const
