import { arch } from 'node:process'
import type { ImageConfig } from '../../fs-layer/archive/write-image.ts'
import type { ImageConfig as ImageMessage } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { invalid, printable } from '../errors/croft-error.ts'

const DEFAULT_REFERENCE = 'croft-export:latest'

/** Throws INVALID_ARGUMENT naming the field. */
export function parseImageConfig(message: ImageMessage | undefined, limits: Limits): ImageConfig {
  const { reference = '', directory = '', entrypoint = [], command = [], environment = [] } = message ?? {}
  const { workingDirectory = '', user = '', architecture = '' } = message ?? {}
  const bytes = [...entrypoint, ...command, ...environment].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (bytes > limits.maxImageConfigBytes) {
    throw invalid('spec.image', `has more than ${limits.maxImageConfigBytes} bytes of arguments and variables`)
  }
  for (const [index, variable] of environment.entries()) {
    if (!/^[^=\0]+=[^\0]*$/.test(variable)) throw invalid(`spec.image.environment[${index}]`, 'is not NAME=value')
  }
  return {
    reference: referenceOf(reference),
    at: directoryOf(directory),
    architecture: word(architecture, 'architecture') || goArchitecture(),
    ...(entrypoint.length === 0 ? {} : { entrypoint }),
    ...(command.length === 0 ? {} : { command }),
    ...(environment.length === 0 ? {} : { environment }),
    ...(workingDirectory === '' ? {} : { workingDirectory: absolute(workingDirectory) }),
    ...(user === '' ? {} : { user: word(user, 'user') }),
  }
}

/** Of this machine, as Go calls it. */
export function goArchitecture(): string {
  return ARCHITECTURES[arch] ?? arch
}

/** Those that Node calls otherwise. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

/** What Docker takes: names in lower case with what joins them, an optional registry before, a tag behind. */
function referenceOf(text: string): string {
  if (text === '') return DEFAULT_REFERENCE
  const named = /:[\w][\w.-]{0,127}$/.test(text) ? text : `${text}:latest`
  const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
  const whole = new RegExp(`^(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\\d+)?/)?${part}(?:/${part})*:[\\w][\\w.-]{0,127}$`)
  if (named.length <= MAX_REFERENCE_LENGTH && whole.test(named)) return named
  throw invalid('spec.image.reference', `is \`${printable(text)}\`, which is no name of an image, as app:1.0`)
}

const MAX_REFERENCE_LENGTH = 255

function directoryOf(text: string): string {
  const names = text.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..') || text.includes('\0')) {
    throw invalid('spec.image.directory', 'must be a path in the image, without `..`')
  }
  return Buffer.from(names.join('/')).toString('latin1')
}

function absolute(text: string): string {
  if (text.startsWith('/') && !text.includes('\0')) return text
  throw invalid('spec.image.working_directory', 'must be an absolute path in the image')
}

function word(text: string, field: string): string {
  if (/^[\w.:/-]*$/.test(text)) return text
  throw invalid(`spec.image.${field}`, `is \`${printable(text)}\``)
}
