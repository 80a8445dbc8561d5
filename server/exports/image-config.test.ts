import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { ImageConfigSchema } from '../../proto/index.ts'
import { limitsSchema } from '../config/limits.ts'
import { parseImageConfig } from './image-config.ts'

const limits = limitsSchema.parse({ maxImageConfigBytes: 16 })
const parse = (message: Parameters<typeof create<typeof ImageConfigSchema>>[1]) =>
  parseImageConfig(create(ImageConfigSchema, message), limits)

test.each([
  ['', 'croft-export:latest'],
  ['app', 'app:latest'],
  ['app:1.0', 'app:1.0'],
  ['registry.example.com:5000/team/my__app:v-1_2', 'registry.example.com:5000/team/my__app:v-1_2'],
])('%j names the image %s', (reference, named) => {
  expect(parse({ reference }).reference).toBe(named)
})

test.each(['App', 'a b', '../x', 'a:', 'a/', '-a', 'a@sha256:0', `a:${'x'.repeat(129)}`, 'a\n'])(
  '%j is no name of an image',
  (reference) => {
    expect(() => parse({ reference })).toThrow('spec.image.reference')
  },
)

test('a directory is one in the image', () => {
  expect(parse({ directory: '/srv//./app/' }).at).toBe('srv/app')
  expect(() => parse({ directory: '/srv/../..' })).toThrow('spec.image.directory')
})

test('arguments and variables may be as long as the limit together', () => {
  expect(parse({ command: ['x'.repeat(8)], environment: ['A=345678'] }).command).toEqual(['x'.repeat(8)])
  expect(() => parse({ command: ['x'.repeat(9)], environment: ['A=345678'] })).toThrow('more than 16 bytes')
  expect(() => parse({ environment: ['=x'] })).toThrow('spec.image.environment[0]')
})
