/** Differences of one diff: they are in memory together, to find what moved. */
export const DIFFERENCES_MAX = 1_000_000

/** Bytes. A larger file is told from others as a whole: in patches in git's binary form, and as moved only where it is the same. */
export const TEXT_MAX_BYTES = 1024 * 1024
/** Lines that go or come. A text that has changed more is told as replaced as a whole. */
export const EDITS_MAX = 2_000
/** Such lines times all lines of both texts: what it takes to find them, at worst some tenths of a second a file. */
export const EDIT_WORK_MAX = 50_000_000
/** Lines around a change. */
export const CONTEXT_LINES = 3

/** Percent of the larger file that two have in common to be one that moved, as git has it. */
export const SIMILARITY_MIN = 50
/** Files that went times files that came; where they are more, only those that are the same are told as moved. */
export const SIMILAR_PAIRS_MAX = 40_000
/** Bytes of all files that are read to find what moved. */
export const SIMILAR_BYTES_MAX = 32 * 1024 * 1024
