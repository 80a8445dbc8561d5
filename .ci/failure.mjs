/** A step that failed: what, the last lines it said, and what the reader can do about it. */
export class SetupFailure extends Error {
  /** @param {string} message @param {{ lines?: readonly string[], remedy: string }} details */
  constructor(message, details) {
    super(message)
    this.name = 'SetupFailure'
    this.lines = (details.lines ?? []).slice(-shownLines)
    this.remedy = details.remedy
  }
}

const shownLines = 20
