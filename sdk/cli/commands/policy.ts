import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { InvalidArgumentError, LocalFileError } from '../../errors.ts'
import type { Rule } from '../../rules.ts'
import { Sandbox } from '../../sandbox.ts'
import { Server } from '../../server.ts'
import type { PolicyLoss, PolicySuggestion } from '../../trail.ts'
import { parseSandboxPath } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, safeText } from '../report.ts'

interface SuggestFlags extends ServerFlags {
  readonly codebase?: string
  readonly yaml?: boolean
}

export function addPolicy(program: Command): void {
  const policy = program.command('policy').summary('make rules from what was used').description('Rules for sandboxes.')
  const command = policy
    .command('suggest')
    .summary('the smallest rules that a run would have passed with')
    .description(
      'Prints the smallest set of rules under which the runs of a sandbox would have gone as they did, and what it ' +
        'refuses that was allowed before.',
    )
    .argument('<sandbox|file>', 'sb_…, or what `croft trail --json` printed')
    .option('--codebase <id>', 'for a file: the codebase to make them for (default: that of its sandbox)')
    .option('--yaml', 'print the rules alone, as a list in YAML')
    .addHelpText(
      'after',
      `
The rules are to be in force without a preset (--preset empty).

Examples:
  croft policy suggest sb_0123456789abcdef
  croft trail sb_0123456789abcdef --json > trail.json; croft policy suggest trail.json --yaml > rules.yaml`,
    )
  withServerFlags(command).action(async (from: string, flags: SuggestFlags) => {
    const suggestion = await suggest(from, flags)
    if (flags.json === true) printJson(withoutRaw(suggestion))
    else if (flags.yaml === true) await printYaml(suggestion.rules)
    else printSuggestion(suggestion)
  })
}

async function suggest(from: string, flags: SuggestFlags): Promise<PolicySuggestion> {
  if (parseSandboxPath(from)?.path === '') {
    if (flags.codebase !== undefined) throw new InvalidArgumentError('--codebase goes with a file', 'codebase')
    await using sandbox = await Sandbox.connect(from, serverOption(flags))
    return await sandbox.suggestPolicy()
  }
  // Loaded when needed: every command would wait for it.
  const { trailFromJson } = await import('../trail-from-json.ts')
  const trail = trailFromJson(await readText(from))
  if (flags.codebase !== undefined) {
    await using server = await Server.connect(flags.server ?? {})
    return await server.suggestPolicy(flags.codebase, trail)
  }
  await using sandbox = await Sandbox.connect(trail.sandboxId, serverOption(flags))
  return await sandbox.suggestPolicy({ trail })
}

async function printYaml(rules: readonly Rule[]): Promise<void> {
  const { stringify } = await import('yaml')
  process.stdout.write(stringify(rules.map(shortest)))
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new LocalFileError(file, `Cannot read ${JSON.stringify(file)}`, { cause: error })
  }
}

function printSuggestion({ rules, losses, lossesTruncated, excesses }: PolicySuggestion): void {
  const lines = ['# With --preset empty:', ...rules.map((rule) => `--rule ${quoted(ruleText(rule))}`)]
  if (excesses.length > 0) lines.push('', '# More than was used is allowed:')
  for (const { path, level, reason } of excesses) lines.push(`#   ${level}  /${oneLine(path)}  ${EXCESS[reason]}`)
  if (losses.length > 0) lines.push('', '# Refused now, and allowed before:')
  for (const loss of losses) lines.push(`#   ${lossText(loss)}`)
  if (lossesTruncated) lines.push('#   … and more')
  process.stdout.write(`${lines.join('\n')}\n`)
}

const EXCESS = {
  trail: 'below it, for the trail does not tell the names apart',
  size: 'below it, for exact rules would be too many',
  name: 'and names like it, for no rule can spell it',
} as const

function lossText({ path, whole, before, after, files }: PolicyLoss): string {
  const where = `/${oneLine(path)}${path === '' ? '' : '/'}`
  return `${before} -> ${after}  ${where}${whole ? '**' : '*'}  ${files} ${files === 1 ? 'file' : 'files'}`
}

/** A name with a line break must not look like a rule. */
function oneLine(text: string): string {
  return safeText(text).replaceAll('\n', '\ufffd')
}

function ruleText({ pattern, level, priority = 0 }: Rule): string {
  return `${pattern}=${level}${priority === 0 ? '' : `@${priority}`}`
}

/** For a shell. */
function quoted(text: string): string {
  return `'${safeText(text).replaceAll("'", "'\\''")}'`
}

function shortest({ pattern, level, priority = 0 }: Rule): Rule {
  return priority === 0 ? { pattern, level } : { pattern, level, priority }
}

function withoutRaw({ losses, excesses, ...rest }: PolicySuggestion): object {
  return {
    ...rest,
    losses: losses.map(({ rawPath: _path, ...loss }) => loss),
    excesses: excesses.map(({ rawPath: _path, ...excess }) => excess),
  }
}
