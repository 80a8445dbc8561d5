/**
 * How long an engine may take, each long enough for a busy machine: they find an engine that hangs, not one that is
 * slow.
 */
export const OCI_LIMITS = {
  /** To answer what is only a question. */
  answerMs: 30_000,
  /** To make a container or an image. */
  createMs: 60_000,
  startMs: 60_000,
  removeMs: 60_000,
  /** From the start of a container until its agent has connected and spoken. */
  agentMs: 30_000,
  /** Until the processes of a container that was killed are gone. */
  deathMs: 10_000,
  /** To fetch an image, from a registry or a file, all of it. */
  imageMs: 30 * 60_000,
  /** And until the engine has noticed it: before that it may refuse to remove what it takes for alive. */
  noticeMs: 10_000,
} as const

export type OciLimits = { readonly [name in keyof typeof OCI_LIMITS]: number }

/** What an image may bring in variables; more is refused. */
export const MAX_IMAGE_ENV_BYTES = 64 << 10
/** Places that an image says are to be written to. */
export const MAX_IMAGE_VOLUMES = 16
/** Of whose progress something is kept, and of which an archive may consist. Docker itself takes no more than 127. */
export const MAX_IMAGE_LAYERS = 512
/** One line of what an engine tells while it fetches. */
export const MAX_FETCH_LINE_BYTES = 1 << 20
export const CREDENTIAL_HELPER_MS = 10_000
/** Members of an archive of an image; `docker save` writes three for each layer. */
export const MAX_ARCHIVE_ENTRIES = 4_096
/** Each of the descriptions in such an archive. */
export const MAX_IMAGE_JSON_BYTES = 4 << 20
