#!/usr/bin/env node
// `within.mjs SECONDS COMMAND…`: runs a command, and ends it where it has not ended by then. What it was at is told
// first: each of its processes with the kernel's stack, and each mount that has requests without an answer. Exits as
// the command does, with 124 where it had to be ended.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const killAfterMs = 3_000

/** @param {string} path What cannot be read (the process has ended meanwhile) is empty. */
function read(path) {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}

/**
 * By `stat` and `stack` alone: what takes a lock of the process's memory (`cmdline`, `environ`) can wait as long as
 * the process does.
 *
 * @typedef {{ pid: number, parent: number, text: string }} Process
 * @returns {Process[]}
 */
function allProcesses() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const [, command, state, parent] = /\((.*)\) (\S) (\d+)/s.exec(read(`/proc/${name}/stat`)) ?? []
      if (command === undefined) return []
      return [{ pid: Number(name), parent: Number(parent), text: `${name} ${state} ${command}` }]
    })
}

/** Whatever descends from `top`, also what it no longer waits for. @param {number} top */
function descendants(top) {
  const all = allProcesses()
  const found = new Set([top])
  for (let before = 0; before !== found.size; ) {
    before = found.size
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
  }
  return all.filter(({ pid }) => found.has(pid))
}

/** @param {number} pid @returns {string[]} */
function stacks(pid) {
  const folder = `/proc/${pid}/task`
  if (!existsSync(folder)) return []
  return readdirSync(folder).map((task) => {
    const frames = read(`${folder}/${task}/stack`).split('\n').slice(0, 6)
    return `    ${task}: ${frames.map((frame) => frame.replace(/^\[<0>\] |\+0x.*$/g, '')).join(' < ')}`
  })
}

const connections = '/sys/fs/fuse/connections'

/** @returns {string[]} Of connections whose requests nobody answers now. */
function waitingConnections() {
  if (!existsSync(connections)) return []
  return readdirSync(connections).filter((name) => Number(read(join(connections, name, 'waiting'))) > 0)
}

/** @param {number} top */
function tell(top) {
  for (const { pid, text } of descendants(top)) console.log([`  ${text}`, ...stacks(pid)].join('\n'))
  for (const name of waitingConnections()) {
    console.log(`  FUSE connection ${name}: ${read(join(connections, name, 'waiting'))} requests wait`)
  }
}

/** @param {number} top */
function end(top) {
  const told = descendants(top)
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGKILL'])) {
    setTimeout(
      () => {
        for (const { pid } of new Set([...told, ...descendants(top)])) {
          try {
            process.kill(pid, signal)
          } catch (error) {
            if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
          }
        }
        // A process that waits for an answer of a mount that nobody serves does not even die before.
        if (signal === 'SIGKILL')
          for (const name of waitingConnections()) writeFileSync(join(connections, name, 'abort'), '1')
      },
      signal === 'SIGTERM' ? 0 : killAfterMs,
    )
  }
}

const [seconds, file, ...args] = process.argv.slice(2)
if (!(Number(seconds) > 0) || file === undefined) throw new Error('usage: within.mjs SECONDS COMMAND…')
const child = spawn(file, args, { stdio: 'inherit' })
let isLate = false
const timer = setTimeout(() => {
  isLate = true
  console.log(`━━ has not ended after ${seconds} s; it is ended. Its processes:`)
  tell(child.pid ?? 0)
  end(child.pid ?? 0)
}, Number(seconds) * 1000)
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
child.on('error', (error) => {
  clearTimeout(timer)
  console.log(error.message)
  process.exitCode = 127
})
child.on('exit', (code) => {
  clearTimeout(timer)
  process.exitCode = isLate ? 124 : (code ?? 1)
})
