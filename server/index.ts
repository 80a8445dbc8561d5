export { ConfigError } from './config/config-error.ts'
export { loadConfig, type Sources } from './config/load.ts'
export type { Config } from './config/schema.ts'
export { type Server, startServer } from './server.ts'
