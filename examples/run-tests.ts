// Runs a project's tests where they can neither see secrets nor touch the project itself:
//   node dist/examples/run-tests.js ./my-project "npm test"
import { CommandFailedError, Sandbox } from 'croft'

const [folder = '.', command = 'npm test'] = process.argv.slice(2)

await using sandbox = await Sandbox.fromLocal(folder, {
  preset: 'development',
  permissions: { '/node_modules/**': 'read', '/node_modules/.cache/**': 'write' },
})
try {
  const result = await sandbox.run(command, {
    check: true,
    timeoutMs: 10 * 60_000,
    onStdout: (text) => void process.stdout.write(text),
    onStderr: (text) => void process.stderr.write(text),
  })
  console.log(`passed after ${result.durationMs} ms`)
} catch (error) {
  if (!(error instanceof CommandFailedError)) throw error
  console.log(`failed with ${error.exitCode}`)
  process.exitCode = error.exitCode
}
