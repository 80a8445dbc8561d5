import { describe, expect, it } from 'vitest'
import { CodebaseService, FileService, SandboxService } from '../../proto/index.ts'
import { percentDecoded, Routes } from './routes.ts'

const routes = new Routes([CodebaseService, FileService, SandboxService])

function found(verb: string, path: string) {
  const match = routes.find(verb, path)
  if (match === undefined) return undefined
  if (!('route' in match)) return match
  return [
    match.route.method.name,
    Object.fromEntries([...match.fields].map(([name, value]) => [name, value.toString()])),
  ]
}

describe('a route', () => {
  it('of wire v1 leads to its method, with the fields in its path', () => {
    expect(found('POST', '/v1/codebases')).toEqual(['CreateCodebase', {}])
    expect(found('GET', '/v1/codebases/cb_1')).toEqual(['GetCodebase', { codebase_id: 'cb_1' }])
    expect(found('GET', '/v1/codebases/cb_1/files')).toEqual(['ListFiles', { codebase_id: 'cb_1' }])
    expect(found('DELETE', '/v1/sandboxes/sb_1')).toEqual(['DestroySandbox', { sandbox_id: 'sb_1' }])
    expect(found('POST', '/v1/sandboxes/sb_1/exec')).toEqual(['Exec', { sandbox_id: 'sb_1' }])
  })

  it('takes the rest of a path as one field', () => {
    expect(found('PUT', '/v1/sandboxes/sb_1/files/src/a%20b/%C3%A9')).toEqual([
      'WriteFile',
      { sandbox_id: 'sb_1', path: 'src/a b/é' },
    ])
  })

  it('is there for every method, by its full name', () => {
    expect(found('POST', '/sandbox.v1.SandboxService/SetPermissions')).toEqual(['SetPermissions', {}])
  })

  it('of another verb is told apart from none', () => {
    expect(found('DELETE', '/v1/codebases')).toEqual(['POST', 'GET'])
    expect(found('GET', '/v2/codebases')).toBeUndefined()
    expect(found('GET', '/v1/codebases/')).toBeUndefined()
    expect(found('GET', '/v1/codebases/cb_1/files/a/b/../c')).toEqual([
      'DownloadFile',
      { codebase_id: 'cb_1', file_path: 'a/b/../c' },
    ])
  })

  it('keeps bytes that are no text', () => {
    expect(percentDecoded('a%FFb%zz').toString('latin1')).toBe('a\u00ffb%zz')
  })
})
