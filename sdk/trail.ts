import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  PolicyExcess_Reason,
  type SuggestPolicyRequestSchema,
  TrailService,
  type TrailEntry as WireEntry,
  type PolicyLoss as WireLoss,
} from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { InvalidArgumentError } from './errors.ts'
import { type Level, levelFromWire, type Rule, ruleFromWire, rulesToWire } from './rules.ts'
import { type ReadPath, textOf } from './view-path.ts'

/** What the programs in a sandbox did, with the rules that they did it under. */
export interface AccessTrail {
  readonly sandboxId: string
  readonly codebaseId: string
  /** In force when it was taken. */
  readonly permissions: readonly Rule[]
  readonly entries: readonly TrailEntry[]
}

/** How often something was done with one path, as far as the kernel had to ask. */
export interface TrailEntry extends ReadPath {
  readonly directory: boolean
  /** The counts are those of all paths below it that there was no room for. */
  readonly below: boolean
  /** Its existence or attributes. */
  readonly look: number
  /** Its names. */
  readonly list: number
  readonly read: number
  /** Made or changed. */
  readonly write: number
  /** Removed or moved away. */
  readonly remove: number
  /** A directory's moves from here or to here. */
  readonly move: number
  /** By the level that was missing. */
  readonly refused: { readonly view: number; readonly read: number; readonly write: number }
}

export interface PolicySuggestion {
  /** To be in force without a preset: `{ preset: null, permissions: rules }`. */
  readonly rules: readonly Rule[]
  /** What was allowed before and is refused by them. */
  readonly losses: readonly PolicyLoss[]
  /** There are more of them. */
  readonly lossesTruncated: boolean
  /** Where they allow more than was used. */
  readonly excesses: readonly PolicyExcess[]
}

export interface PolicyLoss extends ReadPath {
  /** Of everything in and below the directory; otherwise of some files in it. */
  readonly whole: boolean
  readonly before: Level
  readonly after: Level
  readonly files: number
}

export interface PolicyExcess extends ReadPath {
  readonly level: Level
  /**
   * `trail`: it does not tell the names below apart. `size`: exact rules would be more than a policy may have. `name`:
   * the name is no UTF-8 or has control characters, and its wildcards match others too.
   */
  readonly reason: 'trail' | 'size' | 'name'
}

export async function readTrail(
  connection: Connection,
  sandboxId: string,
  options: { readonly signal?: AbortSignal },
): Promise<TrailEntry[]> {
  const found: TrailEntry[] = []
  for await (const { entries } of connection.serverStream(TrailService.method.getAccessTrail, { sandboxId }, options)) {
    for (const entry of entries) found.push(entryFromWire(entry))
  }
  return found.sort((a, b) => Buffer.compare(a.rawPath, b.rawPath))
}

/** For a sandbox's own trail or another one; `against` says whose codebase. */
export async function suggestPolicy(
  connection: Connection,
  against: { readonly sandboxId: string } | { readonly codebaseId: string },
  trail: Pick<AccessTrail, 'entries' | 'permissions'> | undefined,
  options: { readonly signal?: AbortSignal },
): Promise<PolicySuggestion> {
  // To the server it would be none at all.
  if (trail?.entries.length === 0) throw new InvalidArgumentError('The trail has no entries', 'trail')
  const request: MessageInitShape<typeof SuggestPolicyRequestSchema> = {
    ...against,
    entries: trail?.entries.map(entryToWire) ?? [],
    permissions: rulesToWire(trail?.permissions),
  }
  // A codebase may have millions of files.
  const call = { ...options, deadlineMs: null }
  const answer = await connection.unary(TrailService.method.suggestPolicy, request, call)
  return {
    rules: answer.permissions.map(ruleFromWire),
    losses: answer.losses.map(lossFromWire),
    lossesTruncated: answer.lossesTruncated,
    excesses: answer.excesses.map(({ path, permission, reason }) => ({
      path: textOf(path),
      rawPath: path,
      level: levelFromWire(permission),
      reason: REASONS[reason],
    })),
  }
}

const REASONS: Record<PolicyExcess_Reason, PolicyExcess['reason']> = {
  [PolicyExcess_Reason.UNSPECIFIED]: 'size',
  [PolicyExcess_Reason.TRAIL_OVERFLOW]: 'trail',
  [PolicyExcess_Reason.TOO_MANY_RULES]: 'size',
  [PolicyExcess_Reason.NAME]: 'name',
}

function lossFromWire({ path, whole, before, after, count }: WireLoss): PolicyLoss {
  return {
    path: textOf(path),
    rawPath: path,
    whole,
    before: levelFromWire(before),
    after: levelFromWire(after),
    files: Number(count),
  }
}

function entryFromWire(entry: WireEntry): TrailEntry {
  return {
    path: textOf(entry.path),
    rawPath: entry.path,
    directory: entry.directory,
    below: entry.below,
    look: Number(entry.look),
    list: Number(entry.list),
    read: Number(entry.read),
    write: Number(entry.write),
    remove: Number(entry.remove),
    move: Number(entry.move),
    refused: {
      view: Number(entry.refusedView),
      read: Number(entry.refusedRead),
      write: Number(entry.refusedWrite),
    },
  }
}

type EntryInit = NonNullable<MessageInitShape<typeof SuggestPolicyRequestSchema>['entries']>[number]

function entryToWire(entry: TrailEntry): EntryInit {
  return {
    path: entry.rawPath,
    directory: entry.directory,
    below: entry.below,
    look: BigInt(entry.look),
    list: BigInt(entry.list),
    read: BigInt(entry.read),
    write: BigInt(entry.write),
    remove: BigInt(entry.remove),
    move: BigInt(entry.move),
    refusedView: BigInt(entry.refused.view),
    refusedRead: BigInt(entry.refused.read),
    refusedWrite: BigInt(entry.refused.write),
  }
}
