// The official JavaScript client.

import { Ollama } from 'ollama'
import { ASK, caught, report, weather } from './report.mjs'

const client = new Ollama({ host: ASK.url })
const user = (content) => [{ role: 'user', content }]
const SAY = user(ASK.say)

const GET_WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Tell the weather in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

const COUNTRY = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    population: { type: 'integer' },
    languages: { type: 'array', items: { type: 'string' } },
  },
  required: ['name', 'population', 'languages'],
}

async function listing() {
  const { models } = await client.list()
  return { names: models.map((model) => model.name) }
}

async function show() {
  const shown = await client.show({ model: ASK.model })
  const family = shown.model_info['general.architecture']
  return { capabilities: shown.capabilities, context: shown.model_info[`${family}.context_length`] }
}

async function chat() {
  const reply = await client.chat({ model: ASK.model, messages: SAY })
  return { text: reply.message.content, tokens: tokens(reply) }
}

async function stream() {
  const parts = await streamed({ model: ASK.model, messages: SAY })
  return { pieces: parts.map((part) => part.message.content), tokens: tokens(parts.at(-1)) }
}

const tokens = (reply) => [reply.prompt_eval_count, reply.eval_count]

async function streamed(request) {
  const parts = []
  for await (const part of await client.chat({ ...request, stream: true })) parts.push(part)
  return parts
}

async function tools() {
  const parts = await streamed({ model: ASK.model, messages: user(ASK.weather), tools: [GET_WEATHER] })
  return { ...(await rounds(ASK.model, ASK.weather)), streamed: parts.flatMap(calls) }
}

// Ask, run the tools, tell their results.
async function rounds(model, question) {
  const messages = user(question)
  const reply = await client.chat({ model, messages, tools: [GET_WEATHER] })
  messages.push(reply.message)
  for (const { function: called } of reply.message.tool_calls) {
    messages.push({ role: 'tool', content: weather(called.arguments), tool_name: called.name })
  }
  const last = await client.chat({ model, messages, tools: [GET_WEATHER] })
  return { calls: calls(reply), answer: last.message.content }
}

const calls = (reply) =>
  (reply.message.tool_calls ?? []).map((call) => [call.function.name, call.function.arguments])

async function structured() {
  const reply = await client.chat({ model: ASK.model, messages: user(ASK.country), format: COUNTRY })
  return { value: JSON.parse(reply.message.content) }
}

async function thinking() {
  const parts = await streamed({ model: ASK.model, messages: SAY, think: true })
  const off = await client.chat({ model: ASK.model, messages: SAY, think: false })
  return {
    thinking: parts.map((part) => part.message.thinking ?? '').join(''),
    text: parts.map((part) => part.message.content).join(''),
    off: off.message.thinking,
  }
}

async function images() {
  const messages = [{ role: 'user', content: ASK.say, images: [ASK.image] }]
  return { text: (await client.chat({ model: ASK.model, messages })).message.content }
}

async function embeddings() {
  return { rows: (await client.embed({ model: ASK.embedder, input: ASK.texts })).embeddings }
}

async function error() {
  const error = await caught(() => client.chat({ model: ASK.unknown, messages: SAY }))
  return { status: error.status_code, text: error.message }
}

async function errorInStream() {
  const pieces = []
  const error = await caught(async () => {
    const parts = await client.chat({ model: ASK.breaks, messages: SAY, stream: true })
    for await (const part of parts) pieces.push(part.message.content)
  })
  return { text: error.message, pieces }
}

await report({
  list: listing,
  show,
  chat,
  stream,
  tools,
  'two calls at once': () => rounds(ASK.two_calls, ASK.two_cities),
  'structured output': structured,
  thinking,
  images,
  embeddings,
  error,
  'error in stream': errorInStream,
})
