import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { ExportFormat, ExportRequestSchema, type ExportSpecSchema, Principal } from '../../proto/index.ts'
import type { Call } from '../api/handlers.ts'
import { limitsSchema } from '../config/limits.ts'
import { type ExportServiceDependencies, exportService } from './export-service.ts'

const CODEBASE = 'cb_0123456789abcdef'
const call = { signal: new AbortController().signal } as Call

/** With a store in which nothing is ever ready. */
function service(maxExports: number) {
  return exportService({
    codebases: { get: () => ({ id: CODEBASE, root: '' }) },
    versions: { hold: () => new Promise(() => undefined) },
    limits: limitsSchema.parse({ maxExports, maxImports: 1 }),
  } as unknown as ExportServiceDependencies)
}

async function* requests(spec: MessageInitShape<typeof ExportSpecSchema>) {
  yield create(ExportRequestSchema, { message: { case: 'spec', value: spec } })
}

const whole = {
  source: { case: 'codebaseId', value: CODEBASE },
  format: ExportFormat.TAR,
  principal: Principal.OWNER,
} as const
const first = (answers: AsyncIterable<unknown>) => answers[Symbol.asyncIterator]().next()

test('as many exports as the limit are under way, and one more is refused', async () => {
  const { export: begin } = service(2)
  void first(begin(requests(whole), call))
  void first(begin(requests(whole), call))
  await new Promise((resolve) => setImmediate(resolve))
  await expect(first(begin(requests(whole), call))).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
})

test('as many imports as the limit are under way, and one more is refused', async () => {
  const { import: begin } = service(1)
  async function* silent() {
    yield await new Promise<never>(() => undefined)
  }
  void begin(silent(), call)
  await expect(begin(silent(), call)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
})

test.each([
  ['spec.format', { ...whole, format: 99 as ExportFormat }],
  ['spec.source', { ...whole, source: { case: undefined } }],
  ['spec.since', { ...whole, since: { side: { case: 'base', value: {} } } }],
  ['spec.since', { ...whole, content: 2 }],
  ['spec.since', { ...whole, content: 2, since: { side: { case: 'live', value: {} } } }],
  ['spec.content', { ...whole, content: 9 }],
  ['spec.content', { ...whole, format: ExportFormat.PATCH, content: 1 }],
  ['spec.image', { ...whole, image: {} }],
  ['spec.commit_message', { ...whole, commitMessage: 'x' }],
  ['spec.principal', { ...whole, principal: Principal.SANDBOX }],
] as [string, MessageInitShape<typeof ExportSpecSchema>][])(
  'a request is refused by the name of its %s: %j',
  async (field, spec) => {
    await expect(first(service(1).export(requests(spec), call))).rejects.toMatchObject({ field })
  },
)
