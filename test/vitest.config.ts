import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))

export default defineConfig({
  root,
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**'],
    setupFiles: ['test/seed.ts'],
    pool: 'forks',
    // Many suites mount filesystems and start sandboxes: more of them at once than this only makes each slower.
    maxWorkers: 2,
    // Long enough for a busy machine: they find what hangs, not what is slow.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    allowOnly: false,
    reporters: ['default', 'json'],
    outputFile: { json: process.env['CROFT_TEST_REPORT'] ?? `${root}dist/test-report.json` },
  },
})
