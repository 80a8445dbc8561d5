import { conformance } from './conformance.ts'

conformance('stream')
