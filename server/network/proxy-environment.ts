/** Where the proxy is, inside. Squid's port, which programs that serve something themselves leave alone. */
export const PROXY_PORT = 3128

const PROXY = `http://127.0.0.1:${PROXY_PORT}`
const DIRECT = 'localhost,.localhost,127.0.0.1,0.0.0.0,::1'

/**
 * Variables by which programs find the proxy. `ALL_PROXY` names it as an HTTP proxy too, though it speaks SOCKS 5
 * as well: Python's httpx refuses to start where it says `socks5` and a package for that is missing.
 */
export function proxyEnvironment(): Record<string, string> {
  return {
    ...bothCases({ HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, ALL_PROXY: PROXY, NO_PROXY: DIRECT }),
    // npm and its relatives read the above as well, but a setting of a project's .npmrc would come before that.
    npm_config_proxy: PROXY,
    npm_config_https_proxy: PROXY,
    npm_config_noproxy: DIRECT,
    YARN_HTTP_PROXY: PROXY,
    YARN_HTTPS_PROXY: PROXY,
    // Node's own fetch and http, from version 24.
    NODE_USE_ENV_PROXY: '1',
  }
}

function bothCases(variables: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) => [
      [name, value],
      [name.toLowerCase(), value],
    ]),
  )
}
