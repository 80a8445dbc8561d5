import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../config/config-error.ts'
import { Records, RecordsLocked } from '../records/records.ts'

export interface DataDir {
  readonly storeDir: string
  readonly deltasDir: string
  /** For what is being received; empty at the start. */
  readonly incomingDir: string
  readonly records: Records
  /** Of servers that had it before and may have left something: none where the last one cleaned up. */
  readonly previousInstances: readonly string[]
  /** What those left is gone. */
  markRecovered(): void
  /** Nothing of this one is left either: the next server need not look. */
  markClean(): void
}

/**
 * Takes a data directory into possession. LevelDB's lock on the records is what keeps a second server out, for
 * the kernel lets go of it whatever becomes of us; the file with the pid is there to say who has it.
 *
 * @throws {ConfigError} naming the pid of the server that has it, or what is in the way
 */
export async function openDataDir(dir: string, instance: string): Promise<DataDir> {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    for (const name of ['store', 'deltas', 'incoming']) mkdirSync(join(dir, name), { recursive: true, mode: 0o700 })
    chmodSync(dir, 0o700)
  } catch (error) {
    throw new ConfigError(`cannot use the data directory ${dir}: ${messageOf(error)}`, { cause: error })
  }
  const ownerFile = join(dir, 'server.json')
  const records = await openRecords(dir, ownerFile)
  const previous = readOwner(ownerFile)
  const previousInstances = previous?.unclean ?? []
  const note = (unclean: readonly string[]) => writeOwner(ownerFile, { pid: process.pid, unclean: [...unclean] })
  // Until they are cleaned up after, also a server that dies on its way up hands the earlier ones on.
  note([...previousInstances, instance])
  for (const name of readdirSync(join(dir, 'incoming'))) rmSync(join(dir, 'incoming', name), { recursive: true })
  return {
    storeDir: join(dir, 'store'),
    deltasDir: join(dir, 'deltas'),
    incomingDir: join(dir, 'incoming'),
    records,
    previousInstances,
    markRecovered: () => note([instance]),
    markClean: () => note([]),
  }
}

const ownerSchema = z.object({ pid: z.int(), unclean: z.array(z.string()) })
type Owner = z.infer<typeof ownerSchema>

async function openRecords(dir: string, ownerFile: string): Promise<Records> {
  try {
    return await Records.open(join(dir, 'records'))
  } catch (error) {
    if (!(error instanceof RecordsLocked)) throw error
    const owner = readOwner(ownerFile)
    const by = owner === undefined ? 'by another process' : `by the server with pid ${owner.pid}`
    throw new ConfigError(`the data directory ${dir} is in use ${by}`, { cause: error })
  }
}

function readOwner(file: string): Owner | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  return ownerSchema.safeParse(parseJson(text)).data
}

/** A file that a full disk or a power cut left empty says nothing. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function writeOwner(file: string, owner: Owner): void {
  const temporary = `${file}.new`
  writeFileSync(temporary, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
  renameSync(temporary, file)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
