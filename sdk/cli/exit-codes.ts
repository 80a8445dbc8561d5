/**
 * A command's own code is passed on, 128 + the signal's number where a signal ended it. These are the others;
 * 126 and 127 come from the shell inside, as anywhere.
 */
export const EXIT_TIMEOUT = 124
/** Croft itself failed, or was used wrongly: the command may not have run at all. */
export const EXIT_CROFT = 125
/** By Ctrl-C or SIGTERM. */
export const EXIT_INTERRUPTED = 130

export const EXIT_HELP = `
Exit codes: that of the command; 124 it ran out of time; 125 croft itself failed; 130 interrupted.`
