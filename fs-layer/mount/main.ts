import { z } from 'zod'
import { LEVEL_NAMES } from '../policy/rule.ts'
import { type LocalMountSpec, mountLocal } from './local-mount.ts'

/**
 * `croft mount` without its command line: takes the spec as JSON in its one argument, prints a line of JSON when
 * the view is there, and unmounts at SIGINT or SIGTERM. Exit code 1 and a line on stderr when it cannot.
 */
const Spec = z.strictObject({
  dir: z.string().min(1),
  mountpoint: z.string().min(1),
  preset: z.string().optional(),
  rules: z.array(
    z.strictObject({
      pattern: z.string(),
      type: z.enum(['glob', 'directory', 'file']).default('glob'),
      level: z.enum(LEVEL_NAMES),
      priority: z.int().optional(),
    }),
  ),
  deltaDir: z.string().optional(),
  device: z.enum(['auto', 'kernel', 'fuse-native']).default('auto'),
})

const stop = new AbortController()
process.on('SIGINT', () => stop.abort())
process.on('SIGTERM', () => stop.abort())

try {
  await run(Spec.parse(JSON.parse(process.argv[2] ?? '')) as LocalMountSpec)
} catch (error) {
  if (!stop.signal.aborted) {
    process.stderr.write(`croft mount: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

async function run(spec: LocalMountSpec): Promise<void> {
  const progress = process.stderr.isTTY
  await using mounted = await mountLocal(
    spec,
    {
      onProgress: ({ entries, bytes }) => {
        if (progress) process.stderr.write(`\r\u001b[Ktaking in ${entries} entries, ${(bytes / 1e6).toFixed(0)} MB`)
      },
      onSkipped: (skipped) => {
        process.stderr.write(
          `croft mount: left out ${skipped.length} entries that are no files, links or directories\n`,
        )
      },
      onLog: (level, message, fields) => {
        if (level !== 'info') process.stderr.write(`croft mount: ${level}: ${message} ${JSON.stringify(fields)}\n`)
      },
    },
    stop.signal,
  )
  if (progress) process.stderr.write('\r\u001b[K')
  process.stdout.write(`${JSON.stringify({ ready: true, keptBase: mounted.keptBase })}\n`)
  const death = await Promise.race([
    mounted.died,
    new Promise<null>((done) => whenAborted(stop.signal, () => done(null))),
  ])
  if (death !== null) throw death
}

function whenAborted(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run()
  else signal.addEventListener('abort', run, { once: true })
}
