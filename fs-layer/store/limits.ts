/** Every limit of the store. All are inclusive: a thing of exactly that size is accepted. */

/** Bytes of a blob that is kept in the database; a larger one is a file of its own. */
export const MAX_INLINE_BYTES = 16 * 1024
/** Bytes of one blob: 1 TiB. */
export const MAX_BLOB_BYTES = 2 ** 40
/** Bytes of one name, as Linux has it. */
export const MAX_NAME_BYTES = 255
/** Bytes of a path from the root of a version. */
export const MAX_PATH_BYTES = 4096
/** Bytes of a link's target: PATH_MAX without its NUL. */
export const MAX_TARGET_BYTES = 4095
/** Entries of one directory. A directory is read and written as a whole. */
export const MAX_TREE_ENTRIES = 1_000_000
/** Entries of one version, all directories together. */
export const MAX_VERSION_ENTRIES = 4_000_000
/** Bytes of the UTF-8 form of a root's name. */
export const MAX_ROOT_NAME_BYTES = 512

/** Small blobs and trees go to the database in batches of about this many bytes. */
export const BATCH_BYTES = 4 * 1024 * 1024
/** Blob files made durable together. */
export const MAX_COMMIT_GROUP = 256
/** Blob files of one upload that wait to be made durable, each with an open descriptor. */
export const MAX_PENDING_FILES = 128

/** Default of `minFreeBytes`: what is left free on the disk for the database's own housekeeping. */
export const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024
/** Defaults of a reader's memory, in bytes, as estimated. */
export const DEFAULT_TREE_CACHE_BYTES = 64 * 1024 * 1024
export const DEFAULT_BLOB_CACHE_BYTES = 32 * 1024 * 1024
