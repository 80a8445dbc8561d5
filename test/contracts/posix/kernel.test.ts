import { conformance } from './conformance.ts'

conformance('kernel')
