/**
 * Inodes of the base that one view keeps in memory for the kernel before it asks it to let some go: about 0.5 KiB each.
 * A project of so many files is seen whole without asking twice.
 */
export const KNOWN_NODES_MAX = 131_072
