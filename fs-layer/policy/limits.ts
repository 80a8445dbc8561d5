/** Every limit of rules and presets. All are inclusive: a thing of exactly that size is accepted. */

/** Rules of one policy. */
export const MAX_RULES = 1000
/** Bytes of one pattern as UTF-8. A longer path cannot be given to the kernel. */
export const MAX_PATTERN_BYTES = 4096
/** Bytes of one name. A longer one cannot exist, so a pattern that asks for one is a mistake. */
export const MAX_NAME_BYTES = 255
/** Patterns that one pattern stands for when its braces are written out. */
export const MAX_ALTERNATIVES = 256
/** Braces within braces. */
export const MAX_BRACE_DEPTH = 8
/**
 * Bytes of all patterns with their braces written out, one more for each name and each pattern, and 17 for a
 * class: bounds the automaton and what one unknown name can cost.
 */
export const MAX_POLICY_BYTES = 65_536
/** A rule's priority travels as an int32. */
export const MIN_PRIORITY = -(2 ** 31)
export const MAX_PRIORITY = 2 ** 31 - 1
/** Characters of a preset's name. */
export const MAX_PRESET_NAME = 64

/** Names whose matching patterns one policy remembers, twice over (see `NameIndex`). */
export const MAX_CACHED_NAMES = 2048
/** A name that was compared with fewer patterns than this is matched again rather than remembered. */
export const MIN_CACHED_COMPARISONS = 8
/** Numbers and references held by a policy's remembered states; over it everything is forgotten and learnt anew. */
export const MAX_CACHED_WORDS = 262_144
