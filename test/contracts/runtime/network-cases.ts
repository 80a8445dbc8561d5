import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { runToEnd } from '../../fixtures/agent-alone.ts'
import type { Given } from './given.ts'

/** No network, and what the agent carries for those who have an allow-list of hosts. */
export function networkCases(given: () => Given): void {
  async function python(script: string): Promise<string> {
    const { stdout, stderr } = await runToEnd(given().agent, { argv: ['python3', '-c', script] })
    return stdout.toString() + stderr.toString()
  }

  describe('the network of a sandbox', () => {
    it('is a loop-back of its own, on which nothing of the host listens', async () => {
      expect(await python('print(*[line.split(":")[0].strip() for line in open("/proc/net/dev")][2:])')).toBe('lo\n')
      const server = createServer((socket) => socket.destroy())
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as { port: number }
      expect(await python(connecting('127.0.0.1', port))).toContain('refused')
      await new Promise((resolve) => server.close(resolve))
    })

    it.each(['169.254.169.254', '1.1.1.1', '::1%lo'])('does not lead to %s', async (address) => {
      expect(await python(connecting(address, 80))).not.toContain('connected')
    })

    it('knows no names but its own', async () => {
      const ask = (name: string) =>
        `import socket\ntry: print(socket.gethostbyname("${name}"))\nexcept OSError: print("none")`
      expect(await python(ask('example.org'))).toBe('none\n')
      expect(await python(ask('localhost'))).toBe('127.0.0.1\n')
    })

    it('has the ports at which the agent takes connections, and those that it makes', async () => {
      const came = new Promise<string>((resolve) => {
        void given().agent.listen({
          port: 3128,
          maxConnections: 4,
          onConnection: (stream) => {
            stream.on('error', () => undefined)
            stream.end('from the server')
            resolve(text(stream))
          },
        })
      })
      const ask = `${TO}("127.0.0.1",3128))\ns.send(b"from inside"); s.shutdown(1)\nprint(s.makefile().read())`
      expect([await python(ask), await came]).toEqual(['from the server\n', 'from inside'])

      const listen = [
        'import socket',
        's=socket.create_server(("127.0.0.1",8123)); print("up",flush=True)',
        'c,_=s.accept(); c.sendall(b"got "+c.makefile("rb").readline()); c.close()',
      ]
      const inside = await given().agent.spawn({
        argv: ['python3', '-c', listen.join('\n')],
        env: { PATH: '/usr/bin:/bin' },
        cwd: '/',
      })
      await new Promise((resolve) => inside.stdout.once('data', resolve))
      const stream = await given().agent.connect(8123, 4)
      stream.write('a line\n')
      expect(await text(stream)).toBe('got a line\n')
      expect(await inside.exited).toMatchObject({ code: 0 })
      await expect(given().agent.connect(8123, 4)).rejects.toMatchObject({ code: 'connect', errno: 'ECONNREFUSED' })
    })
  })
}

const TO = 'import socket\ns=socket.create_connection('

function connecting(address: string, port: number): string {
  return `import socket\ntry:\n socket.create_connection(("${address}",${port}),1); print("connected")\nexcept OSError as e: print(e)`
}
