#!/usr/bin/env node
import { writeSync } from 'node:fs'
import { auditCommand } from './audit/audit-command.ts'
import { configCommand } from './config/config-command.ts'
import { ConfigError } from './config/config-error.ts'
import { type Flags, parseFlags, USAGE } from './config/flags.ts'
import { loadConfig } from './config/load.ts'
import { packageVersion } from './observability/version.ts'
import { type Server, startServer } from './server.ts'

/** It could not start: settings, or the machine. */
const EXIT_FAILED = 1
/** The command line is wrong. */
const EXIT_USAGE = 2

// Whoever read the log may go (a terminal that is closed). There is nobody to tell of it then, and each attempt would be
// the next such error: the server goes on without.
process.stderr.on('error', () => undefined)

process.exitCode = await run(process.argv.slice(2))

async function run(args: readonly string[]): Promise<number> {
  const surroundings = { uid: process.getuid?.() ?? 0, env: process.env }
  if (args[0] === 'audit') {
    try {
      return (await auditCommand(args.slice(1), surroundings, say)) ? 0 : EXIT_FAILED
    } catch (error) {
      return fail(error, EXIT_FAILED, 'audit')
    }
  }
  if (args[0] === 'config') {
    try {
      return say(configCommand(args.slice(1), surroundings))
    } catch (error) {
      return fail(error, EXIT_FAILED, 'config')
    }
  }
  let flags: Flags
  try {
    flags = parseFlags(args)
  } catch (error) {
    return fail(error, EXIT_USAGE)
  }
  if (flags.help) return say(USAGE)
  if (flags.version) return say(`croft ${packageVersion()}\n`)

  let server: Server
  try {
    const { settings, configFile } = flags
    const config = loadConfig({
      flags: settings,
      ...(configFile === undefined ? {} : { file: configFile }),
      ...surroundings,
    })
    server = await startServer(config)
  } catch (error) {
    return fail(error, EXIT_FAILED)
  }
  return serve(server, flags)
}

async function serve(server: Server, { readyFd }: Flags): Promise<number> {
  const signalled = new Promise<undefined>((resolve) => {
    let signals = 0
    const onSignal = (signal: NodeJS.Signals) => {
      signals += 1
      server.log.info({ signal }, 'told to stop')
      resolve(undefined)
      // Whoever asks twice is in a hurry: calls under way are cut.
      if (signals === 2) void server.stop(0)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
  const broken = new Promise<Error>((resolve) => {
    process.on('uncaughtException', (error) => {
      server.log.fatal({ err: error }, 'a fault that nothing caught')
      resolve(error)
    })
  })
  if (readyFd !== undefined) sayReady(server, readyFd)

  const failure = await Promise.race([server.ended, signalled, broken])
  if (failure !== undefined)
    server.log.fatal({ err: failure }, 'stopping, for the server is in a state that nobody foresaw')
  await server.stop()
  return failure === undefined ? 0 : EXIT_FAILED
}

/** Who started this server waits for the line; it may also have gone away meanwhile. */
function sayReady({ socket, address, httpAddress, instance, log }: Server, fd: number): void {
  const line = {
    socket,
    instance,
    pid: process.pid,
    ...(address === undefined ? {} : { address }),
    ...(httpAddress === undefined ? {} : { http: httpAddress }),
  }
  try {
    writeSync(fd, `${JSON.stringify(line)}\n`)
  } catch (err) {
    log.warn({ err, fd }, 'cannot say that the server is ready')
  }
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}

function fail(error: unknown, exitCode: number, command = 'serve'): number {
  const message = error instanceof ConfigError ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`croft ${command}: ${message}\n`)
  return exitCode
}
