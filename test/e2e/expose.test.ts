import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage, request } from 'node:http'
import { connect, isIPv4, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer, text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { ownAddresses } from '../fixtures/own-addresses.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let fixture: SdkSandbox | undefined
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'node-inside', 'python3'))) return
  fixture = await sdkSandbox()
  ;({ sandbox } = fixture)
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'node-inside', 'python3'))

/** HTTP that says what it got, and speaks enough of WebSocket (RFC 6455) to echo one small frame. */
const httpServer = (port: number, host: string) => `
  const server = require('http').createServer((request, response) => {
    response.writeHead(200, { 'X-Host': request.headers.host })
    request.pipe(response)
  })
  server.on('upgrade', (request, socket) => {
    const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
    const accept = require('crypto').createHash('sha1').update(key).digest('base64')
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
    socket.once('data', (frame) => {
      const mask = frame.subarray(2, 6)
      const payload = frame.subarray(6).map((byte, at) => byte ^ mask[at % 4])
      socket.end(Buffer.concat([Buffer.from([0x81, payload.length]), payload]))
    })
  })
  server.listen(${port}, '${host}', () => console.log('listening'))
  setInterval(() => {}, 1000)`

/** It ends with the sandbox. */
const background = (script: string) =>
  `nohup node -e '${script.replaceAll("'", `'\\''`)}' > /tmp/log.$$ 2>&1 & until grep -qs listening /tmp/log.$$; do sleep 0.05; done`

async function start(script: string, inside = sandbox): Promise<void> {
  expect((await inside.run(background(script))).exitCode).toBe(0)
}

async function answerOf(url: string, body = ''): Promise<{ host: string; body: string }> {
  const posted = request(url, { method: 'POST', agent: false })
  posted.end(body)
  const [response] = (await once(posted, 'response')) as [IncomingMessage]
  return { host: String(response.headers['x-host']), body: await text(response) }
}

describe('a server inside', () => {
  test.each([
    [3001, '127.0.0.1'],
    [3002, '::1'],
    [3003, '::'],
  ])('on port %i of %s answers HTTP', async (port, host) => {
    await start(httpServer(port, host))
    await using exposed = await sandbox.expose(port)
    expect(exposed.url).toBe(`http://127.0.0.1:${exposed.port}`)
    const body = 'x'.repeat(3_000_000)
    const answer = await answerOf(exposed.url, body)
    expect(answer).toEqual({ host: `127.0.0.1:${exposed.port}`, body })
  })

  test('speaks WebSocket', async () => {
    await start(httpServer(3010, '127.0.0.1'))
    await using exposed = await sandbox.expose(3010)
    const key = randomBytes(16).toString('base64')
    const upgrade = get(exposed.url, {
      agent: false,
      headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key },
    })
    const [response, socket] = (await once(upgrade, 'upgrade')) as [IncomingMessage, Socket, Buffer]
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    expect(response.headers['sec-websocket-accept']).toBe(accept)
    socket.write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 'h'.charCodeAt(0) ^ 1, 'i'.charCodeAt(0) ^ 2]))
    expect([...(await buffer(socket))]).toEqual([0x81, 2, ...Buffer.from('hi')])
  })

  test('that says goodbye first still hears the rest, and one that listens for no one refuses', async () => {
    await start(`
      require('net').createServer({ allowHalfOpen: true }, (socket) => {
        socket.end('goodbye')
        let heard = ''
        socket.on('data', (data) => { heard += data })
        socket.on('end', () => require('fs').writeFileSync('/tmp/heard', heard))
      }).listen(3020, () => console.log('listening'))`)
    await using exposed = await sandbox.expose(3020)
    const socket = connect({ host: exposed.host, port: exposed.port, allowHalfOpen: true })
    const pieces: Buffer[] = []
    socket.on('data', (piece) => pieces.push(piece))
    await once(socket, 'end')
    expect(Buffer.concat(pieces).toString()).toBe('goodbye')
    socket.end('and thanks')
    await once(socket, 'close')
    const heard = 'until [ -s /tmp/heard ]; do sleep 0.05; done; cat /tmp/heard'
    expect((await sandbox.run(heard)).stdout).toBe('and thanks')

    await using nobody = await sandbox.expose(3999)
    const refused = connect(nobody.port, nobody.host)
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNRESET')
  })
})

describe('an exposed port', () => {
  test('closes with the sandbox, and connections with it', async () => {
    const other = await Sandbox.create({ server: fixture?.server as never, codebase: sandbox.codebaseId })
    await start(httpServer(3001, '127.0.0.1'), other)
    const exposed = await other.expose(3001)
    const socket = connect(exposed.port, exposed.host)
    const broken = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))
    await once(socket, 'connect')
    await other.stop()
    expect(await exposed.closed).toMatchObject({ code: 'not_running' })
    await broken
    const [error] = (await once(connect(exposed.port, exposed.host), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
    await expect(other.expose(3001)).rejects.toMatchObject({ code: 'not_running' })
    await other.kill()
  })

  test('closes when it is told, and when its signal fires', async () => {
    const controller = new AbortController()
    const exposed = await sandbox.expose(3001, { signal: controller.signal })
    controller.abort()
    expect(await exposed.closed).toBeUndefined()
    const another = await sandbox.expose(3001)
    await another.close()
    expect(await another.closed).toBeUndefined()
    for (const { port, host } of [exposed, another]) {
      const [error] = (await once(connect(port, host), 'error')) as [NodeJS.ErrnoException]
      expect(error.code).toBe('ECONNREFUSED')
    }
  })

  test('is on the loop-back of this machine only', async (context) => {
    await needs(context, 'own-address')
    const [address = ''] = ownAddresses().filter(isIPv4)
    await using exposed = await sandbox.expose(3001)
    const [error] = (await once(connect(exposed.port, address), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
  })

  test('is closed to other users of this machine, unless asked otherwise', async () => {
    await start(httpServer(3030, '127.0.0.1'))
    const asNobody = async (url: string) => {
      const script = `import urllib.request,sys\nprint(urllib.request.urlopen(sys.argv[1], b"x", 20).status)`
      const child = spawn('python3', ['-c', script, url], {
        uid: 65_534,
        gid: 65_534,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const said = await Promise.all([text(child.stdout), text(child.stderr)])
      return said.join('')
    }
    await using exposed = await sandbox.expose(3030)
    expect(await asNobody(exposed.url)).toMatch(/reset|closed connection/i)
    await using shared = await sandbox.expose(3030, { otherUsers: true })
    expect(await asNobody(shared.url)).toBe('200\n')
  })

  test.each([
    ['port', 0, {}],
    ['port', 65_536, {}],
    ['port', 1.5, {}],
    ['localPort', 80, { localPort: -1 }],
    ['localPort', 80, { localHost: '192.0.2.1' }],
  ])('with a bad %s is refused by its name', async (field, port, options) => {
    await expect(sandbox.expose(port, options)).rejects.toMatchObject({ code: 'invalid_argument', field })
  })

  test('by the command line prints its URL, and goes with Ctrl-C', async () => {
    await start(httpServer(3040, '127.0.0.1'))
    const child = spawn('node', [MAIN, 'expose', sandbox.id, '3040', '--json'], {
      env: fixture?.user.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const line = await createInterface(child.stdout)[Symbol.asyncIterator]().next()
    const { url } = JSON.parse(String(line.value)) as { url: string }
    expect((await answerOf(url, 'hello')).body).toBe('hello')
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([0, null])
  })
})
