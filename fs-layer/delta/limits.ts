/** Bytes. A file up to this size is kept in LevelDB, a larger one in a file of its own. */
export const INLINE_MAX_BYTES = 16 * 1024

/** Bytes of small contents that one view keeps in memory though they are on disk. */
export const INLINE_CACHE_BYTES = 4 * 1024 * 1024

/** Bytes. A larger file of the base is copied into the delta beside other requests, a smaller one at once. */
export const COPY_NOW_MAX_BYTES = 4 * 1024 * 1024

/** A caller of copy_file_range(2) that wants more asks again: a longer copy would hold up every mount of the thread. */
export const COPY_MAX_BYTES = 8 * 1024 * 1024

/** Bytes of contents that are copied or zeroed at once, in memory. */
export const CHUNK_BYTES = 1024 * 1024

/** Open files of one filesystem thread, for contents in files (RLIMIT_NOFILE is the process's, not ours). */
export const OPEN_FILES_MAX = 1024

/** Bytes. As ext4 with 4 KiB blocks has it; beyond it is EFBIG. */
export const FILE_MAX_BYTES = 16 * 2 ** 40

/**
 * So long a change stays in memory alone: what a program wrote without a sync and a server that is killed may lose.
 * Batches gather what happens meanwhile, so a shorter time costs little: 20 a second at most.
 */
export const FLUSH_AFTER_MS = 50
export const FLUSH_AT_RECORDS = 8192

/** The room of a large file that was removed is free on the disk after so long at most: first its names must be gone there. */
export const SETTLE_AFTER_MS = 1000

/** Bytes of all extended attributes of one inode, names included. */
export const XATTRS_MAX_BYTES = 64 * 1024

/** ext4's own limit (ext4(5)). */
export const LINKS_MAX = 65000

/** Bytes. Left free on the disk of a delta; a sandbox that would take them is told ENOSPC. */
export const DISK_RESERVE_BYTES = 16 * 1024 * 1024

/** Bytes. What a batch may take, with the tables that LevelDB may write because of it. */
export const BATCH_BYTES = 8 * 1024 * 1024

/** Bytes of one piece of a journal. */
export const JOURNAL_PIECE_BYTES = 1024 * 1024

/** Pieces that a thread keeps to use them again. */
export const JOURNAL_SPARE_PIECES_MAX = 32

/** Bytes. A journal that has become so long is written to LevelDB before its time. */
export const JOURNAL_FULL_BYTES = 32 * 1024 * 1024

/**
 * Bytes of the log of syncs of one delta that has some; each 4 KiB is a sync of little, and the next after it is full takes
 * about three times as long.
 */
export const SYNC_LOG_BYTES = 1024 * 1024
/** What the log is worth begins with a sync or two more: most sandboxes sync nothing. */
export const LOG_AFTER_SYNCS = 2
/** Records of more changes than this go to LevelDB at once. */
export const LOG_CHANGES_MAX = 4096
