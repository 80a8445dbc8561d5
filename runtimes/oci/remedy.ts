import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { EngineName } from './engine.ts'

const PACKAGE: Readonly<
  Record<EngineName, { readonly name: string; readonly program: string; readonly unit: string }>
> = {
  docker: { name: 'docker.io', program: 'dockerd', unit: 'docker.service' },
  podman: { name: 'podman', program: 'podman', unit: 'podman.socket' },
}

/** A line for a shell (Debian's) that mends what an engine failed of; undefined where none is known to. */
export function remedyForEngine(
  engine: EngineName,
  error: unknown,
  isInstalled: (program: string) => boolean = isInPath,
): string | undefined {
  const { name, program, unit } = PACKAGE[engine]
  const { message, cause } = error as Error & { cause?: { code?: string } }
  switch (cause?.code) {
    case 'ENOENT':
      return isInstalled(program) ? `systemctl enable --now ${unit}` : `apt-get install -y ${name}`
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return `systemctl restart ${unit}`
    case 'EACCES':
      return engine === 'docker' ? 'usermod -aG docker "$USER"  # and log in again' : 'sudo croft serve'
    default:
      return (
        remedyForMessage(message) ??
        (/did not .* within \d+ ms/.test(message) ? `systemctl restart ${unit}` : undefined)
      )
  }
}

/** gVisor's, as its own instructions register it. */
export const RUNSC = 'runsc'
export const NO_RUNSC = `docker has no runtime ${RUNSC}`
export const RUNSC_SETTINGS = `{"runtimes":{"${RUNSC}":{"path":"runsc","runtimeArgs":["--network=none","--host-uds=open"]}}}`

/** Beside the administrator's own file. */
const DROP_IN = 'd=/etc/containers/containers.conf.d; mkdir -p $d; d=$d/croft-'

/** What engines say of hosts that lack something. */
function remedyForMessage(message: string): string | undefined {
  if (/setrlimit|RLIMIT_/i.test(message)) {
    return `${DROP_IN}ulimits.conf; printf '[containers]\\ndefault_ulimits=["nofile=20000:20000","nproc=8192:8192"]\\n' > $d`
  }
  if (/crun/i.test(message) && /cgroup/i.test(message)) {
    return `apt-get install -y runc; ${DROP_IN}runtime.conf; printf '[engine]\\nruntime="runc"\\n' > $d`
  }
  if (/newuidmap|newgidmap|subuid/i.test(message)) return 'apt-get install -y uidmap'
  if (message.includes(NO_RUNSC)) {
    return `apt-get install -y runsc; f=/etc/docker/daemon.json; [ -e $f ] || printf '${RUNSC_SETTINGS}' > $f; systemctl restart docker`
  }
  if (/iptables/i.test(message)) return 'apt-get install -y iptables'
  return undefined
}

function isInPath(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)))
}
