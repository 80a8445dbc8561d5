#!/usr/bin/env node
// Writes docs/reference from what is there: every command with its help, every method with its comment. Needs a build.
// `--output DIR` writes it elsewhere, for the test that compares.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fromBinary } from '@bufbuild/protobuf'
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'

/**
 * @import { DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto } from '@bufbuild/protobuf/wkt'
 * @import { Command } from 'commander'
 */

// The numbers of fields in descriptor.proto, which are the steps of a path in source information.
const MESSAGE = 4
const SERVICE = 6
const METHOD = 2
const FIELD = 2
const ENUM = 5
const ENUM_OF_MESSAGE = 4
const VALUE = 2

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({ options: { output: { type: 'string', default: join(root, 'docs/reference') } } })
mkdirSync(values.output, { recursive: true })
writeFileSync(join(values.output, 'commands.md'), await commands())
writeFileSync(join(values.output, 'methods.md'), methods())

async function commands() {
  /** @type {{ buildProgram(version: string): Command }} */
  const { buildProgram } = await import(join(root, 'dist/sdk/cli/program.js'))
  const program = buildProgram('')
  const sections = flatten(program).map((command) => {
    const name = pathOf(command)
    // The server has a command line of its own behind this one.
    const help = name === 'croft serve' ? helpOfServer() : helpOf(command)
    return `## ${name}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`
  })
  return `# Commands\n\nWritten by \`npm run gen\` from the help of each command.\n\n${sections.join('\n')}`
}

/** @param {Command} command @returns {Command[]} */
function flatten(command) {
  return command.commands.flatMap((each) => [each, ...flatten(each)])
}

/** @param {Command} command @returns {string} */
function pathOf(command) {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

/** @param {Command} command */
function helpOf(command) {
  let help = ''
  command.configureOutput({
    writeOut: (text) => (help += text),
    getOutHelpWidth: () => 110,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return help
}

function helpOfServer() {
  return output(process.execPath, [join(root, 'dist/server/main.js'), '--help'])
}

function methods() {
  const files = descriptors().filter((file) => file.package === 'sandbox.v1')
  const sections = files.flatMap((file) =>
    file.service.map((service, index) => {
      const comment = commentOf(file, [SERVICE, index])
      const each = service.method.map((method, at) => {
        const input = `${method.clientStreaming ? 'stream ' : ''}${short(method.inputType)}`
        const answer = `${method.serverStreaming ? 'stream ' : ''}${short(method.outputType)}`
        const words = commentOf(file, [SERVICE, index, METHOD, at])
        return `### ${method.name}\n\n\`${input}\` → \`${answer}\`\n${words === '' ? '' : `\n${words}\n`}`
      })
      return `## ${service.name}\n\n${comment === '' ? '' : `${comment}\n\n`}${each.join('\n')}`
    }),
  )
  const messages = files.flatMap((file) =>
    file.messageType.map((message, index) => messageSection(file, message, [MESSAGE, index])),
  )
  const enums = files.flatMap((file) => [
    ...file.enumType.map((each, index) => enumSection(file, each, each.name, [ENUM, index])),
    ...file.messageType.flatMap((message, at) =>
      message.enumType.map((each, index) =>
        enumSection(file, each, `${message.name}.${each.name}`, [MESSAGE, at, ENUM_OF_MESSAGE, index]),
      ),
    ),
  ])
  const intro =
    'Written by `npm run gen` from [the contract](../../proto/sandbox/v1). Package `sandbox.v1`, gRPC; any client that is generated from these files speaks to the server.'
  return `# Methods\n\n${intro}\n\n${sections.join('\n')}\n# Messages\n\n${messages.join('\n')}\n# Enums\n\n${enums.join('\n')}`
}

/** @param {FileDescriptorProto} file @param {DescriptorProto} message @param {number[]} path @returns {string} */
function messageSection(file, message, path) {
  const fields = message.field.map((field, index) => {
    const words = commentOf(file, [...path, FIELD, index])
      .replaceAll('\n', ' ')
      .replaceAll('|', '\\|')
    return `| \`${field.name}\` | ${field.number} | ${typeOf(field)} | ${words} |`
  })
  const comment = commentOf(file, path)
  const table =
    fields.length === 0 ? 'No fields.' : ['| field | number | type | |', '|---|---|---|---|', ...fields].join('\n')
  return `## ${message.name}\n\n${comment === '' ? '' : `${comment}\n\n`}${table}\n`
}

/** @param {FileDescriptorProto} file @param {EnumDescriptorProto} each @param {string} name @param {number[]} path */
function enumSection(file, each, name, path) {
  const rows = each.value.map((value, index) => {
    const words = commentOf(file, [...path, VALUE, index])
      .replaceAll('\n', ' ')
      .replaceAll('|', '\\|')
    return `| \`${value.name}\` | ${value.number} | ${words} |`
  })
  return `## ${name}\n\n${['| value | number | |', '|---|---|---|', ...rows].join('\n')}\n`
}

/** @param {FieldDescriptorProto} field */
function typeOf(field) {
  const name = field.typeName === '' ? FieldDescriptorProto_Type[field.type].toLowerCase() : short(field.typeName)
  return field.label === FieldDescriptorProto_Label.REPEATED ? `${name}…` : `${name}`
}

/** @param {string} type */
function short(type) {
  return type.replace(/^\.?(sandbox\.v1|google\.protobuf)\./, '')
}

/** What stands before it in the source. @param {FileDescriptorProto} file @param {number[]} path */
function commentOf(file, path) {
  const location = file.sourceCodeInfo?.location.find((each) => each.path.join('.') === path.join('.'))
  return (location?.leadingComments ?? '')
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .trim()
}

function descriptors() {
  const folder = mkdtempSync(join(tmpdir(), 'croft-reference-'))
  try {
    const image = join(folder, 'image.binpb')
    output(join(root, 'node_modules/.bin/buf'), ['build', 'proto', '--as-file-descriptor-set', '--output', image])
    return fromBinary(FileDescriptorSetSchema, readFileSync(image)).file
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {string} program @param {readonly string[]} args */
function output(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}
