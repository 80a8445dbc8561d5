import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ImageProgress } from '../../runtimes/contract/runtime.ts'
import { runToEnd } from '../fixtures/agent-alone.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import {
  digestOf,
  type ImageParts,
  imageParts,
  json,
  writeDockerArchive,
  writeOciArchive,
} from '../fixtures/engines/image-files.ts'
import { openOciHouse } from '../fixtures/engines/oci-house.ts'
import { REGISTRY_USER, type Registry, startRegistry } from '../fixtures/engines/registry.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, needs } from '../needs.ts'

describe.each(['docker', 'podman'] as const)('images that %s is to fetch', (name) => {
  let engine: EngineInstance
  let registry: Registry
  let guarded: Registry
  let dir: string
  let house: RuntimeHouse
  let first: ImageParts
  let second: ImageParts

  beforeAll(async () => {
    if (!(await has(name, 'registry'))) return
    registry = await startRegistry()
    guarded = await startRegistry({ isPrivate: true })
    engine = await startEngine(name, { registries: [registry.host, guarded.host] })
    first = await imageParts('first')
    second = await imageParts('second', { User: '1234' })
    dir = mkdtempSync(join(tmpdir(), 'croft-images-'))
    mkdirSync(join(dir, 'root'))
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await registry?.[Symbol.asyncDispose]()
    await guarded?.[Symbol.asyncDispose]()
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(async (context) => {
    await needs(context, name, 'registry')
    house = open()
  })
  afterEach(() => house?.dispose())

  const open = (limits = {}) =>
    openOciHouse(engine, 'none', limits, {
      archives: { roots: [join(dir, 'root')], maxImageBytes: 64 << 20 },
      dockerConfig: join(dir, 'config.json'),
    })
  const markOf = async (change: Parameters<RuntimeHouse['launch']>[0]) => {
    const { agent, stop } = await house.launch(change)
    const { stdout } = await runToEnd(agent, { argv: ['/bin/cat', '/mark'] })
    await stop()
    return stdout.toString()
  }
  const refused = (...parts: string[]) =>
    expect.objectContaining({
      code: 'image',
      message: expect.stringMatching(new RegExp(parts.map((part) => part.replaceAll('.', '\\.')).join('.*'))) as string,
    })

  it('are pulled where they are missing, always or never, and progress is told', async () => {
    const image = `${registry.host}/some/thing:1`
    await registry.push('some/thing', '1', first)
    await expect(house.launch({ image, pull: 'never' })).rejects.toEqual(refused(image, `${name} pull ${image}`))
    const told: ImageProgress[] = []
    expect(await markOf({ image, onImage: (progress) => told.push(progress) })).toBe('first')
    if (name === 'docker') {
      expect(told.at(-1)).toEqual({ phase: 'pulling', bytes: first.layer.length, totalBytes: first.layer.length })
    }
    await registry.push('some/thing', '1', second)
    expect(await markOf({ image, pull: 'missing' })).toBe('first')
    expect(await markOf({ image, pull: 'never' })).toBe('first')
    expect(await markOf({ image, pull: 'always' })).toBe('second')
  })

  it('are what their digest says, whatever a tag says now', async () => {
    const digest = await registry.push('by/digest', 'latest', first)
    await registry.push('by/digest', 'latest', second)
    expect(await markOf({ image: `${registry.host}/by/digest:latest@${digest}` })).toBe('first')
    expect(await markOf({ image: `${registry.host}/by/digest` })).toBe('second')
    await expect(house.launch({ image: digestOf(json('nothing')), pull: 'always' })).rejects.toEqual(
      refused('no registry knows'),
    )
  })

  it('that are in no registry, or whose registry is not there, are errors with what to do', async () => {
    const absent = `${registry.host}/no/such:1`
    await expect(house.launch({ image: absent })).rejects.toEqual(refused(absent, `${name} login ${registry.host}`))
    const nowhere = '127.0.0.1:1/no/such:1'
    await expect(house.launch({ image: nowhere })).rejects.toEqual(refused(nowhere, `${name} pull ${nowhere}`))
    expect(await engine.containers()).toEqual([])
  })

  it('come from a private registry with what the engine’s login wrote, and not without', async () => {
    const image = `${guarded.host}/secret:1`
    await guarded.push('secret', '1', first)
    await expect(house.launch({ image })).rejects.toEqual(refused(image, `${name} login ${guarded.host}`))
    if (name === 'podman') return
    const { name: user, password } = REGISTRY_USER
    const auth = Buffer.from(`${user}:${password}`).toString('base64')
    writeFileSync(join(dir, 'config.json'), json({ auths: { [guarded.host]: { auth } } }))
    expect(await markOf({ image })).toBe('first')
  })

  it('from a registry that hangs are waited for as long as the limit says, or until the launch is aborted', async () => {
    const taken: Socket[] = []
    const silent = createServer((socket) => taken.push(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const image = `127.0.0.1:${(silent.address() as AddressInfo).port}/never:1`
    const impatient = open({ imageMs: 300 })
    try {
      await expect(impatient.launch({ image })).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('`imageMs`') as string,
      })
      const abort = new AbortController()
      const reason = new Error('changed my mind')
      const asked = new Promise((resolve) => silent.once('connection', resolve))
      const launching = house.runtime.launch({ ...house.spec, image }, abort.signal)
      launching.catch(() => undefined)
      await asked
      abort.abort(reason)
      await expect(launching).rejects.toBe(reason)
    } finally {
      await impatient.dispose()
      for (const socket of taken) socket.destroy()
      await new Promise((resolve) => silent.close(resolve))
    }
  })

  it.each([
    ['docker-archive', writeDockerArchive],
    ['oci-archive', writeOciArchive],
  ] as const)('are loaded from a %s once, and take no name', async (format, write) => {
    const parts = await imageParts(`of a ${format}`, { User: '77:77', Entrypoint: ['/bin/false'] })
    const path = join(dir, 'root', `${format}.tar`)
    await write(path, parts)
    expect(await markOf({ image: `${format}:${path}` })).toBe(`of a ${format}`)
    const before = await engine.images()
    expect(before.flatMap(({ RepoTags }) => RepoTags ?? [])).not.toContain('localhost/stolen:1')
    expect(before.map(({ Id }) => Id.replace('sha256:', ''))).toContain(digestOf(parts.config).replace('sha256:', ''))
    expect(await markOf({ image: `${format}:${path}`, pull: 'never' })).toBe(`of a ${format}`)
    expect(await engine.images()).toHaveLength(before.length)
  })

  it('from a file elsewhere, or that a link leads out to, are refused in the same words', async () => {
    const outside = join(dir, 'outside.tar')
    await writeDockerArchive(outside, first)
    symlinkSync(outside, join(dir, 'root', 'link.tar'))
    symlinkSync('/etc', join(dir, 'root', 'etc'))
    for (const path of [
      outside,
      '/no/such/file',
      `${dir}/root-beside/x`,
      `${dir}/root/link.tar`,
      `${dir}/root/etc/passwd`,
    ]) {
      await expect(house.launch({ image: `docker-archive:${path}` })).rejects.toMatchObject({
        code: 'image',
        message: `image: ${path} is not below a directory of the server's setting \`images.roots\``,
      })
    }
  })
})
