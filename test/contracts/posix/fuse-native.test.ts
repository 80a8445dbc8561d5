import { conformance } from './conformance.ts'

conformance('fuse-native')
