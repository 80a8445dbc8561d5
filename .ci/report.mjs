#!/usr/bin/env node
// Reads the test runner's JSON report. `skips FILE`: every skipped test with its reason; exits with 1 where a
// test was skipped that this machine could have run. `failures FILE`: every failed test with what it said, so that it
// stands at the end of a long log. `counts FILE`: the one line of totals.
import { existsSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'

/**
 * @typedef {object} Skipped
 * @property {string} need
 * @property {string} reason
 *
 * @typedef {object} Assertion
 * @property {string} fullName
 * @property {string} status
 * @property {string[]} [failureMessages]
 * @property {{ skipped?: Skipped }} [meta]
 *
 * @typedef {object} Report
 * @property {{ name: string, status: string, message?: string, assertionResults: Assertion[] }[]} testResults
 */

/** @param {string} path @returns {Report | undefined} */
function readReport(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

/** @param {Report | undefined} report */
function counts(report) {
  const totals = { passed: 0, failed: 0, skipped: 0 }
  // No report at all: the runner itself broke, which is not "nothing failed".
  if (report === undefined) totals.failed = 1
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) totals[outcome(test)]++
    // A file that could not be loaded, or whose set-up failed, has no failed test to count.
    if (file.status === 'failed' && !file.assertionResults.some((test) => outcome(test) === 'failed')) totals.failed++
  }
  return `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`
}

/** @param {Assertion} test @returns {'passed' | 'failed' | 'skipped'} */
function outcome(test) {
  if (test.status === 'passed' || test.status === 'failed') return test.status
  return 'skipped'
}

/** @param {Report} report */
function* failures(report) {
  for (const file of report.testResults) {
    const failed = file.assertionResults.filter((test) => outcome(test) === 'failed')
    const name = relative(process.cwd(), file.name)
    if (failed.length === 0 && file.status === 'failed') yield `FAILED  ${name}\n${file.message ?? ''}`
    for (const test of failed) yield [`FAILED  ${name}: ${test.fullName}`, ...(test.failureMessages ?? [])].join('\n')
  }
}

/** @param {Report} report @returns {Promise<number>} How many skips have no right to be. */
async function judgeSkips(report) {
  const { probes } = await import(new URL('../dist/test/probes.js', import.meta.url).href)
  /** @type {Map<string, Promise<string | undefined>>} */
  const lacks = new Map()
  let wrong = 0
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (outcome(test) !== 'skipped') continue
      const name = `${relative(process.cwd(), file.name)}: ${test.fullName}`
      const skipped = test.meta?.skipped
      const probe = skipped === undefined ? undefined : probes[skipped.need]
      if (skipped === undefined || probe === undefined) {
        console.log(`SKIPPED WITHOUT A REASON  ${name}`)
        wrong++
        continue
      }
      const lack = lacks.get(skipped.need) ?? probe()
      lacks.set(skipped.need, lack)
      if ((await lack) !== undefined) {
        console.log(`skipped  ${name}\n         needs ${skipped.need}: ${skipped.reason}`)
        continue
      }
      console.log(
        `SKIPPED WRONGLY  ${name}\n         said: needs ${skipped.need}: ${skipped.reason}; this machine has it`,
      )
      wrong++
    }
  }
  return wrong
}

const [command, path = 'dist/test-report.json'] = process.argv.slice(2)
const report = readReport(path)
if (command === 'counts') {
  console.log(counts(report))
} else if (command === 'skips' && report !== undefined) {
  const wrong = await judgeSkips(report)
  if (wrong > 0) console.log(`${wrong} of the skipped tests should have run.`)
  process.exitCode = wrong > 0 ? 1 : 0
} else if (command === 'failures' && report !== undefined) {
  for (const failure of failures(report)) console.log(failure)
} else {
  const isKnown = command === 'skips' || command === 'failures'
  console.log(isKnown ? `There is no report at ${path}.` : 'usage: report.mjs skips|failures|counts [FILE]')
  process.exitCode = 2
}
