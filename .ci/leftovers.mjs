#!/usr/bin/env node
// `leftovers.mjs DIR`: mounts, processes and temporary files that work done in DIR has left behind. Exits with
// 1 where there are any.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** @param {string} folder */
function mountsUnder(folder) {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${folder}/`))
    .map((line) => `mount    ${line}`)
}

/**
 * A process belongs to the work if it was started from there, stands there, or sees a mount from there: the
 * last finds the processes inside a sandbox, which know of no path of the host.
 *
 * @param {string} folder
 */
function processesOf(folder) {
  const ours = ancestors()
  const found = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (ours.has(pid)) continue
    const traces = [
      ...['exe', 'cwd', 'root'].map((name) => look(() => readlinkSync(`/proc/${pid}/${name}`))),
      ...['cmdline', 'environ', 'mountinfo'].map((name) => look(() => readFileSync(`/proc/${pid}/${name}`, 'utf8'))),
    ]
    if (!traces.some((trace) => trace.includes(`${folder}/`))) continue
    const command = look(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
    found.push(`process  ${pid} ${command}`)
  }
  return found
}

function ancestors() {
  const found = new Set()
  let pid = String(process.pid)
  while (pid !== '0' && pid !== '') {
    found.add(pid)
    pid = /^PPid:\s*(\d+)/m.exec(look(() => readFileSync(`/proc/${pid}/status`, 'utf8')))?.[1] ?? ''
  }
  return found
}

/** What cannot be read (the process has ended meanwhile, or is a kernel thread) shows nothing. @param {() => string} read */
function look(read) {
  try {
    return read()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}

/** @param {string} folder */
function filesIn(folder) {
  return readdirSync(folder).map((name) => `file     ${join(folder, name)}`)
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: leftovers.mjs DIR')
// A shared kernel mount table line of the folder's own disk is no leftover: only what stands below counts.
const found = [...mountsUnder(folder), ...processesOf(folder), ...filesIn(join(folder, 'tmp'))]
for (const line of found) console.log(`LEFT BEHIND  ${line}`)
process.exitCode = found.length > 0 ? 1 : 0
