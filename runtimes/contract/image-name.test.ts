import { describe, expect, it } from 'vitest'
import { parseImageName, registryOf } from './image-name.ts'

const HEX = 'ab'.repeat(32)

describe('the name of an image', () => {
  it.each([
    ['debian', 'debian', 'debian', 'latest', 'docker.io'],
    ['debian:12-slim', 'debian:12-slim', 'debian', '12-slim', 'docker.io'],
    ['some/where/else', 'some/where/else', 'some/where/else', 'latest', 'docker.io'],
    ['localhost/none:1', 'localhost/none:1', 'localhost/none', '1', 'localhost'],
    ['localhost:5000/a_b/c', 'localhost:5000/a_b/c', 'localhost:5000/a_b/c', 'latest', 'localhost:5000'],
    ['registry:5000/x:1', 'registry:5000/x:1', 'registry:5000/x', '1', 'registry:5000'],
    [`ghcr.io/x/y:1@sha256:${HEX}`, `ghcr.io/x/y@sha256:${HEX}`, 'ghcr.io/x/y', `sha256:${HEX}`, 'ghcr.io'],
  ])('%s is asked for as %s', (text, name, repository, tag, registry) => {
    expect(parseImageName(text)).toEqual({ kind: 'engine', name, source: { repository, tag } })
    expect(registryOf(repository)).toBe(registry)
  })

  it.each([HEX, `sha256:${HEX}`])('an id has no source to be pulled from: %s', (text) => {
    expect(parseImageName(text)).toEqual({ kind: 'engine', name: text })
  })

  it('names a file by its absolute path', () => {
    const path = '/srv/images/a b.tar'
    expect(parseImageName(`docker-archive:${path}`)).toEqual({ kind: 'archive', format: 'docker-archive', path })
    expect(parseImageName(`oci-archive:${path}`)).toEqual({ kind: 'archive', format: 'oci-archive', path })
  })

  it.each([
    ...['', '-v', '--privileged', '../x', 'a/../b', 'a//b', '/a', 'a/', 'a:', 'a:b:c', 'a b', 'a\nb', 'a?x=1', 'a#b'],
    ...['a@sha256:12', `a@sha256:${HEX}@sha256:${HEX}`, 'a@md5:00', 'UPPER', 'a:-x', `a:${'x'.repeat(129)}`, 'a%2fb'],
    ...['docker-archive:', 'docker-archive:x.tar', 'oci-archive:/a/../b', 'oci-archive:/a/./b', 'oci-archive:/a//b'],
    ...['docker-archive:/a\0b', 'oci-archive:/a/', 'oci:/a', 'docker://debian', 'file:///x'],
  ])('%j is none', (text) => {
    expect(parseImageName(text)).toBeUndefined()
  })
})
