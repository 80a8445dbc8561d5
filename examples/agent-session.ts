// A shell that keeps its state between commands, as an agent uses one; its rights grow when a person agrees:
//   node dist/examples/agent-session.js ./my-project
import { Sandbox } from 'croft'

const [folder = '.'] = process.argv.slice(2)

await using sandbox = await Sandbox.fromLocal(folder, { preset: 'read-only', labels: { task: 'example' } })
await using session = await sandbox.session()

await session.run('cd src 2>/dev/null || true; export GREETING=hello')
const first = await session.run('echo "$GREETING from $PWD"; touch new-file')
console.log(
  first.stdout.trim(),
  first.exitCode === 0 ? 'and could write' : `and could not write: ${first.stderr.trim()}`,
)

await sandbox.setPermissions({ preset: 'development' })
const second = await session.run('touch new-file')
console.log(second.exitCode === 0 ? 'with more rights it could' : second.stderr.trim())

await sandbox.files.write('/notes.md', `Seen by: ${first.stdout}`)
console.log(await sandbox.files.readText('/notes.md'))
