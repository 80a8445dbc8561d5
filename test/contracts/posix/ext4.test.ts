import { conformance } from './conformance.ts'

conformance(null)
