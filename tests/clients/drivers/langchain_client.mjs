// LangChain for JavaScript: it streams even when it is asked for a whole answer.

import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatOllama, OllamaEmbeddings } from '@langchain/ollama'
import { z } from 'zod'
import { ASK, caught, report, weather } from './report.mjs'

const COUNTRY = z.object({
  name: z.string(),
  population: z.number().int(),
  languages: z.array(z.string()),
})

const GET_WEATHER = tool(weather, {
  name: 'get_weather',
  description: 'Tell the weather in a city.',
  schema: z.object({ city: z.string() }),
})

const model = (name = ASK.model, options = {}) =>
  new ChatOllama({ model: name, baseUrl: ASK.url, maxRetries: 0, ...options })

// It reads the list to see whether it must pull a model, and pulls one that is not there.
async function listing() {
  const found = []
  for (const name of [ASK.model, `${ASK.embedder}:latest`, ASK.two_calls, ASK.unknown]) {
    try {
      await model(name, { checkOrPullModel: true }).invoke('hello')
      found.push(name)
    } catch (error) {
      if (!isRefused(name, error)) throw error
      if (name !== ASK.unknown) found.push(name)
    }
  }
  return { names: found }
}

// An embedder is listed but does not chat; a model that no one has cannot be pulled.
const isRefused = (name, error) =>
  name === ASK.unknown
    ? error.message.includes('file does not exist')
    : error.message.includes('does not support chat')

async function chat() {
  const reply = await model().invoke(ASK.say)
  return { text: reply.content, tokens: tokens(reply) }
}

async function stream() {
  const pieces = []
  let whole
  for await (const part of await model().stream(ASK.say)) {
    pieces.push(part.content)
    whole = whole ? whole.concat(part) : part
  }
  return { pieces, tokens: tokens(whole) }
}

const tokens = ({ usage_metadata: used }) => [used.input_tokens, used.output_tokens]

// Ask, run the tools, tell their results.
async function rounds(name, question) {
  const offered = model(name).bindTools([GET_WEATHER])
  const messages = [new HumanMessage(question)]
  const reply = await offered.invoke(messages)
  messages.push(reply)
  for (const call of reply.tool_calls) {
    messages.push(new ToolMessage({ content: await GET_WEATHER.invoke(call.args), tool_call_id: call.id }))
  }
  const calls = reply.tool_calls.map((call) => [call.name, call.args])
  return { calls, answer: (await offered.invoke(messages)).content }
}

async function structured() {
  return { value: await model().withStructuredOutput(COUNTRY, { name: 'country' }).invoke(ASK.country) }
}

async function thinking() {
  const reply = await model(ASK.model, { think: true }).invoke(ASK.say)
  const off = await model(ASK.model, { think: false }).invoke(ASK.say)
  return {
    thinking: reply.additional_kwargs.reasoning_content,
    text: reply.content,
    off: off.additional_kwargs.reasoning_content,
  }
}

async function images() {
  const image = { type: 'image_url', image_url: `data:image/png;base64,${ASK.image}` }
  const message = new HumanMessage({ content: [{ type: 'text', text: ASK.say }, image] })
  return { text: (await model().invoke([message])).content }
}

async function embeddings() {
  const embedder = new OllamaEmbeddings({ model: ASK.embedder, baseUrl: ASK.url })
  return { rows: await embedder.embedDocuments(ASK.texts) }
}

async function error() {
  const error = await caught(() => model(ASK.unknown).invoke(ASK.say))
  return { status: error.status_code, text: error.message }
}

async function errorInStream() {
  const pieces = []
  const error = await caught(async () => {
    for await (const part of await model(ASK.breaks).stream(ASK.say)) pieces.push(part.content)
  })
  return { text: error.message, pieces }
}

await report({
  list: listing,
  show: 'it has no call for this',
  chat,
  stream,
  tools: () => rounds(ASK.model, ASK.weather),
  'two calls at once': () => rounds(ASK.two_calls, ASK.two_cities),
  'structured output': structured,
  thinking,
  images,
  embeddings,
  error,
  'error in stream': errorInStream,
})
