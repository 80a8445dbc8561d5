// Lets a program edit a project, shows what it changed, and keeps the changes as a tar only if they stay in src:
//   node dist/examples/review-changes.js ./my-project "my-agent --task …"
import { Sandbox } from 'croft'

const [folder = '.', command = 'date > src/built-at.txt'] = process.argv.slice(2)

await using sandbox = await Sandbox.fromLocal(folder, { permissions: { '/src/**': 'write' } })
const result = await sandbox.run(command, { timeoutMs: 60_000 })
console.log(`exit code ${result.exitCode}\n${result.stderr}`)

const changes = await sandbox.changes()
for (const change of changes) {
  console.log(change.kind.padEnd(8), change.from === undefined ? change.path : `${change.from} → ${change.path}`)
}
if (changes.length > 0 && changes.every((change) => change.path.startsWith('src/'))) {
  const snapshot = await sandbox.exportSnapshot({ content: 'delta', to: 'changes.tar' })
  console.log(`changes.tar: ${snapshot.bytes} bytes, SHA-256 ${snapshot.sha256}`)
}
