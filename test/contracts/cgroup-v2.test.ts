import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runInGuest } from '../fixtures/guest/guest.ts'
import { has, needs } from '../needs.ts'

interface Told {
  readonly asRoot: { readonly version: number; readonly controllers: readonly string[] }
  readonly delegated: object
  readonly suites: { readonly testResults: readonly { readonly assertionResults: readonly Assertion[] }[] }
}

interface Assertion {
  readonly fullName: string
  readonly status: string
  readonly failureMessages: readonly string[]
}

/** Those of the suites that are about control groups, as they run on this machine too. */
const SUITES =
  'runtimes/cgroup test/contracts/runtime-bwrap.test.ts test/contracts/runtime/runtime.test.ts -t "control group|bwrap.* limits of a|limits of a bwrap sandbox"'

const SCRIPT = `
probe=dist/test/fixtures/guest/probe-groups.js
node $probe > $REPORT
group=/sys/fs/cgroup/user
mkdir $group
echo '+memory +cpu +pids' > /sys/fs/cgroup/cgroup.subtree_control
chown 1000:1000 $group $group/cgroup.procs $group/cgroup.subtree_control $group/cgroup.threads
sh -c "echo 0 > $group/cgroup.procs; exec setpriv --reuid 1000 --regid 1000 --clear-groups node $probe" > $REPORT
node node_modules/vitest/vitest.mjs run --config test/vitest.config.ts --reporter=json --outputFile=/tmp/report.json ${SUITES}
node -p 'JSON.stringify(JSON.parse(require("fs").readFileSync("/tmp/report.json")))' > $REPORT
`

let told: Told | undefined

beforeAll(async () => {
  if (!(await has('qemu'))) return
  const { report, console } = await runInGuest(SCRIPT)
  const lines = report.trim().split('\n')
  if (lines.length !== 3) throw new Error(`the guest has not said all that it should:\n${report}\n${console}`)
  const [asRoot, delegated, suites] = lines.map((line): unknown => JSON.parse(line))
  told = { asRoot, delegated, suites } as Told
}, 600_000)

beforeEach((context) => needs(context, 'qemu'))

describe('on a machine with control groups in version 2', () => {
  it('they are found, with every controller', () => {
    expect(told?.asRoot).toEqual({ version: 2, controllers: ['memory', 'cpu', 'pids'], held: true, left: [] })
  })

  it('an ordinary user finds those in a group that was delegated', () => {
    expect(told?.delegated).toEqual({ version: 2, controllers: ['memory', 'cpu', 'pids'], held: true, left: [] })
  })

  it('every case about them passes as it does in version 1', () => {
    const cases = told?.suites.testResults.flatMap(({ assertionResults }) => assertionResults) ?? []
    const ran = cases.filter(({ status }) => status === 'passed' || status === 'failed')
    expect(ran.filter(({ status }) => status === 'failed')).toEqual([])
    expect(ran.map(({ fullName }) => fullName)).toContain(
      "the 'bwrap' runtime the limits of a sandbox end what takes more memory, which is counted, and the sandbox lives on when all that it can fill is full",
    )
  })
})
