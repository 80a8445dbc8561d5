import fc from 'fast-check'

/**
 * Properties are tried with the same inputs at every run, so that a failure is the change's and can be repeated.
 * `CROFT_SEED=random npm test` looks for new ones (the failure prints its seed), `CROFT_SEED=123` repeats those.
 */
const wanted = process.env['CROFT_SEED'] ?? '20261123'
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) })
