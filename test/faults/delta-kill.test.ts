import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, it } from 'vitest'
import { needs } from '../needs.ts'
import { CrashRig } from './crash/rig.ts'
import { crashSeed, crashTimes } from './crash/times.ts'

beforeEach((context) => needs(context, 'root', 'fuse'))

describe('a server killed while several programs work on its view', () => {
  it.each([
    ['gathers writes', undefined, crashTimes(100)],
    ['hands each write on', 2 ** 40, crashTimes(25)],
  ] as const)(
    'has all that was synced, and else an earlier state, where the kernel %s',
    async (_, quotaBytes, kills) => {
      const dir = fs.mkdtempSync(join(tmpdir(), 'croft-kill-'))
      const mount = join(dir, 'mnt')
      fs.mkdirSync(mount)
      try {
        await using rig = await CrashRig.create({
          seed: crashSeed(),
          dir,
          mount,
          ...(quotaBytes === undefined ? {} : { quotaBytes }),
        })
        for (let kill = 0; kill < kills; kill++) await rig.round('kill')
      } finally {
        fs.rmSync(dir, { recursive: true })
      }
    },
    3_600_000,
  )
})
