/**
 * Inodes of the base that one view keeps in memory for the kernel before it asks it to let some go: about 0.5 KiB each.
 * A project of so many files is seen whole without asking twice.
 */
export const KNOWN_NODES_MAX = 131_072

/** Events that a view keeps for those who watch it; whoever falls further behind is told to look anew. */
export const EVENTS_MAX = 16_384
/** Bytes of all their paths. */
export const EVENT_BYTES_MAX = 4 * 1024 * 1024
/** Names of one file that have an event each; where it has more, whoever watches is told to look anew. */
export const EVENT_NAMES_MAX = 64
/** Events handed over at once. */
export const EVENT_BATCH_MAX = 512
/** Paths of directories that are remembered for events and the trail. */
export const REMEMBERED_PATHS_MAX = 4_096

/** Paths that a view's access trail tells apart: about 0.35 KiB each. What is beyond counts for the directory above. */
export const TRAIL_PATHS_MAX = 65_536
/** Names that were only refused have room of their own, so that asking for many does not push out what was used. */
export const TRAIL_REFUSED_MAX = 8_192
/** Bytes of all paths of a trail; an eighth of it for those that were only refused. */
export const TRAIL_BYTES_MAX = 8 * 1024 * 1024
