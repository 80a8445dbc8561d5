import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

/** Clears the screen, in seven bits and in eight, sets a title, and turns text around. */
const EVIL = '\u001b[2J\u009b2J\u001b]0;title\u0007\u202e'

const formats = ['json', 'text'] as const
const servers = new Map<string, { server: ServerProcess; dir: string; sandboxId: string }>()

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  for (const format of formats) {
    const dir = temporaryServerDir()
    const server = await ServerProcess.start(dir, '--log-format', format)
    const { id: codebaseId } = await server.wire.codebases.createCodebase({ name: 'project' })
    const request = { codebaseId, preset: 'development', start: true }
    servers.set(format, { server, dir, sandboxId: (await server.wire.sandboxes.createSandbox(request)).id })
  }
})

afterAll(async () => {
  for (const { server, dir } of servers.values()) {
    await server.end('SIGTERM')
    removeServerDir(dir)
  }
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

it.each(formats)(
  'nothing that a sandbox or a client says reaches the terminal of who reads the log as %s',
  async (format) => {
    const used = servers.get(format)
    if (used === undefined) throw new Error('no server')
    const { server, sandboxId } = used
    const { sandboxes, commands, files } = server.wire
    const evil = Buffer.from(EVIL)

    await refusal(server.wire.codebases.createCodebase({ name: EVIL }))
    // Output of every kind, and programs, directories, shells, ids and files of that name.
    await sandboxes.exec({ sandboxId, command: `printf '%s' '${EVIL}'; printf '%s' '${EVIL}' >&2; exit 1` })
    expect((await sandboxes.exec({ sandboxId, argv: [evil] })).exitCode).toBe(127)
    await sandboxes.exec({ sandboxId, command: 'true', workdir: EVIL })
    expect((await refusal(sandboxes.createSession({ sandboxId, shell: `/${EVIL}` }))).code).toBe('INVALID_ARGUMENT')
    const { id: sessionId } = await sandboxes.createSession({ sandboxId })
    await sandboxes.sessionExec({ sessionId, command: `'${EVIL}'; printf '${EVIL}' >&4` })
    await refusal(sandboxes.getSession({ sessionId: EVIL }))
    await commands.startCommand({ request: { sandboxId, argv: [evil, evil] } })
    await refusal(commands.getCommand({ sandboxId, commandId: EVIL }))
    await refusal(collect(files.readFile({ sandboxId, path: evil })))
    await refusal(files.statFile({ sandboxId, path: Buffer.concat([evil, Buffer.of(0)]) }))
    const call = sandboxes.execInteractive()
    const terminal = { rows: 24, columns: 80 }
    call.send({ input: { case: 'start', value: { request: { sandboxId, command: `printf '${EVIL}'` }, terminal } } })
    for (let next = await call.next(); next !== undefined; next = await call.next());
    // And the last words of the sandbox itself.
    await sandboxes.exec({ sandboxId, command: `kill -9 -1; printf '${EVIL}'` })
    await sandboxes.destroySandbox({ sandboxId })
    await server.end('SIGTERM')

    expect(server.log).toContain(sandboxId)
    expect(server.log.split('\n').length).toBeGreaterThan(5)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(server.log).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
  },
)
