import type { PresetRegistry } from '../../fs-layer/policy/presets.ts'
import { CreateSandboxRequestSchema, type SandboxService } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { parseCommand } from '../exec/command.ts'
import { exec } from '../exec/exec.ts'
import { execInteractive } from '../exec/exec-interactive.ts'
import { execStream } from '../exec/exec-stream.ts'
import { Watches } from '../files/watch-files.ts'
import { type MadeBy, once } from '../records/once.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { sessionExec, sessionExecStream } from '../sessions/session-exec.ts'
import { sessionMessage } from '../sessions/session-message.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { type CreateContext, parseCreateRequest, type SandboxSpec } from './create-request.ts'
import { parseRules, ruleMessage } from './permissions.ts'
import { WORKSPACE } from './running.ts'
import { sandboxMessage } from './sandbox-message.ts'
import type { Sandboxes } from './sandboxes.ts'
import { getStats, watchStats } from './stats.ts'
import type { Views } from './views.ts'
import { watchStart } from './watch-start.ts'

export interface SandboxServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly sessions: Sessions
  readonly views: Views
  readonly presets: PresetRegistry
  readonly create: CreateContext
  readonly limits: Limits
  readonly serial: Serial
}

export function sandboxService(dependencies: SandboxServiceDependencies): Handlers<typeof SandboxService> {
  const { sandboxes, sessions, views, presets, limits, serial } = dependencies
  const placeOf = (id: string) => ({ limits, workspace: WORKSPACE, cwd: sandboxes.cwd(id) })
  async function createOne(spec: SandboxSpec, start: boolean, madeBy?: MadeBy): Promise<SandboxRecord> {
    const created = await sandboxes.create(spec, madeBy)
    if (!start) return created
    try {
      return await sandboxes.start(created.id)
    } catch (error) {
      // The caller gets no id, so nobody could ever destroy it.
      await sandboxes.destroy(created.id)
      throw error
    }
  }

  const statsWatches = new Watches(limits.maxStatsWatchesPerSandbox)
  return {
    createSandbox: async (request, { caller }) => {
      const spec = await parseCreateRequest(request, dependencies.create)
      const [made] = await once({
        ...{ schema: CreateSandboxRequestSchema, request, caller, serial, maxKeyBytes: limits.maxNameBytes },
        find: (hasKey) => sandboxes.select(hasKey),
        make: async (madeBy) => [await createOne(spec, request.start, madeBy)],
      })
      const record = made as SandboxRecord
      // Made by a call that did not come to this.
      const isToStart = request.start && record.status === 'pending'
      return sandboxMessage(isToStart ? await sandboxes.start(record.id) : record)
    },

    getSandbox: async ({ sandboxId }) => sandboxMessage(sandboxes.get(sandboxId)),

    listSandboxes: async ({ codebaseId, pageSize, pageToken }, { caller }) => {
      const { items, nextPageToken } = sandboxes.list(codebaseId, pageSize, pageToken, caller)
      return { sandboxes: items.map(sandboxMessage), nextPageToken }
    },

    startSandbox: async ({ sandboxId }) => sandboxMessage(await sandboxes.start(sandboxId)),

    watchStart: (request, { signal }) => watchStart(request, { sandboxes, signal }),

    stopSandbox: async ({ sandboxId }) => sandboxMessage(await sandboxes.stop(sandboxId)),

    destroySandbox: async ({ sandboxId }) => {
      await sandboxes.destroy(sandboxId)
      return {}
    },

    exec: async (request, { signal }) => {
      const command = parseCommand(request, placeOf(request.sandboxId))
      return exec(sandboxes.running(request.sandboxId), command, { limits, signal })
    },

    async *execStream(request, { signal }) {
      const command = parseCommand(request, placeOf(request.sandboxId))
      const running = sandboxes.running(request.sandboxId)
      yield* execStream(running, command, { limits, signal, reportExit: request.reportExit })
    },

    execInteractive: (inputs, { signal }) => execInteractive(inputs, (id) => sandboxes.running(id), { limits, signal }),

    createSession: async (request) => sessionMessage(await sessions.create(request)),

    getSession: async ({ sessionId }) => sessionMessage(sessions.get(sessionId)),

    listSessions: async ({ sandboxId }) => ({ sessions: sessions.list(sandboxId).map(sessionMessage) }),

    destroySession: async ({ sessionId }) => {
      await sessions.destroy(sessionId)
      return {}
    },

    sessionExec: (request, { signal }) => sessionExec(request, { sessions, limits, signal }),

    sessionExecStream: (request, { signal }) => sessionExecStream(request, { sessions, limits, signal }),

    setPermissions: async ({ sandboxId, preset, permissions }) => {
      const rules = parseRules(preset, permissions, { presets, maxRules: limits.maxRules })
      return sandboxMessage(await sandboxes.setRules(sandboxId, preset, rules))
    },

    getUsage: async ({ sandboxId }) => {
      const lease = await views.lease(sandboxes.get(sandboxId))
      try {
        const { bytes, inodes } = await lease.view.usage()
        return { diskBytes: BigInt(bytes), inodes: BigInt(inodes) }
      } finally {
        lease.release()
      }
    },

    getStats: ({ sandboxId }) => getStats(sandboxId, { sandboxes, limits, watches: statsWatches }),

    watchStats: (request, { signal }) => watchStats(request, { sandboxes, limits, watches: statsWatches, signal }),

    listPresets: async () => ({
      presets: presets.listPresets().map(({ name, description, rules }) => ({
        name,
        description,
        permissions: rules.map(ruleMessage),
      })),
    }),
  }
}
