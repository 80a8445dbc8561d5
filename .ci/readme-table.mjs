#!/usr/bin/env node
// Writes README's table of what each runtime can, from the one that the runtimes are held to; with --check it only says
// whether that is what stands there.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const BEGIN = '<!-- of runtimes/contract/capabilities.ts, by npm run gen:readme -->'
const END = '<!-- end -->'

const { CAPABILITY_TABLE, RUNTIMES_IN_TABLE } = await import(join(root, 'dist/runtimes/contract/capabilities.js'))
const path = join(root, 'README.md')
const is = readFileSync(path, 'utf8')
const shall = withTable(is, runtimeTable(RUNTIMES_IN_TABLE, CAPABILITY_TABLE))
if (!process.argv.includes('--check')) writeFileSync(path, shall)
else if (is !== shall) {
  process.stderr.write(
    'The table of runtimes in README.md is not that of runtimes/contract/capabilities.ts.\nRun: npm run gen:readme\n',
  )
  process.exitCode = 1
}

/**
 * @typedef {Readonly<Record<string, boolean | string>>} Row with `means`, and a field for each runtime
 * @param {readonly string[]} runtimes
 * @param {Readonly<Record<string, Row>>} table
 */
function runtimeTable(runtimes, table) {
  const line = (/** @type {readonly unknown[]} */ cells) => `| ${cells.join(' | ')} |`
  const rows = Object.values(table).map((row) => line([row['means'], ...runtimes.map((name) => cell(row[name]))]))
  return [line(['', ...runtimes.map((name) => `\`${name}\``)]), `|${'---|'.repeat(runtimes.length + 1)}`, ...rows].join(
    '\n',
  )
}

/** @param {string} readme @param {string} table */
function withTable(readme, table) {
  const [before, rest] = readme.split(`${BEGIN}\n`)
  const after = rest?.split(`\n${END}`)[1]
  if (before === undefined || after === undefined) throw new Error(`README.md has no place for the table: ${BEGIN}`)
  return `${before}${BEGIN}\n${table}\n${END}${after}`
}

/** @param {boolean | string | undefined} can */
function cell(can) {
  if (typeof can === 'string') return can
  return can === true ? 'yes' : 'no'
}
