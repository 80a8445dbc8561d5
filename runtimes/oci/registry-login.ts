import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { z } from 'zod'
import { CREDENTIAL_HELPER_MS } from './limits.ts'

/** As Docker's API takes it beside a pull. */
export interface RegistryCredentials {
  readonly serveraddress: string
  readonly username?: string
  readonly password?: string
  readonly identitytoken?: string
}

/** As `docker login` writes it; the engine itself has none of it, whoever asks sends it along. */
const configSchema = z.object({
  auths: z
    .record(z.string(), z.object({ auth: z.string().optional(), identitytoken: z.string().optional() }))
    .optional(),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
})

const saidSchema = z.object({ Username: z.string(), Secret: z.string() })

/** Under which Docker's own registry stands in the file. */
const DOCKER_HUB = 'https://index.docker.io/v1/'

export function dockerConfigPath(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'), 'config.json')
}

/** What this user has of a registry. `undefined`: nothing, so it is asked as anybody. Rejects where the file is not as it should be. */
export async function credentialsFor(registry: string, path: string): Promise<RegistryCredentials | undefined> {
  const config = await readConfig(path)
  const serveraddress = registry === 'docker.io' ? DOCKER_HUB : registry
  const helper = config.credHelpers?.[serveraddress] ?? config.credsStore
  if (helper !== undefined) return askHelper(helper, serveraddress)
  const { auth, identitytoken } = config.auths?.[serveraddress] ?? {}
  if (identitytoken !== undefined && identitytoken !== '') return { serveraddress, identitytoken }
  if (auth === undefined || auth === '') return undefined
  const [username = '', ...password] = Buffer.from(auth, 'base64').toString('utf8').split(':')
  return { serveraddress, username, password: password.join(':') }
}

async function readConfig(path: string): Promise<z.infer<typeof configSchema>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {}
    throw error
  }
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch {
    // What it says of the place quotes the text, which has secrets in it.
    throw new Error(`${path} is no JSON`)
  }
  const parsed = configSchema.safeParse(config)
  if (parsed.success) return parsed.data
  throw new Error(`${path} is not as docker login writes it: ${parsed.error.issues[0]?.path.join('.')}`)
}

/** A program that keeps the secrets, named by the file. One that has none of this registry says so by failing. */
async function askHelper(name: string, serveraddress: string): Promise<RegistryCredentials | undefined> {
  if (!/^[\w.-]+$/.test(name)) throw new Error(`there can be no credential helper ${JSON.stringify(name)}`)
  const { failed, stdout, timedOut, code } = await execa(`docker-credential-${name}`, ['get'], {
    ...{ input: serveraddress, reject: false, timeout: CREDENTIAL_HELPER_MS },
  })
  if (timedOut || code === 'ENOENT') {
    throw new Error(`docker-credential-${name} ${timedOut ? 'does not answer' : 'is not there'}`)
  }
  if (failed) return undefined
  const said = saidSchema.parse(JSON.parse(stdout))
  if (said.Username === '<token>') return { serveraddress, identitytoken: said.Secret }
  return { serveraddress, username: said.Username, password: said.Secret }
}
