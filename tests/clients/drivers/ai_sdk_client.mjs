// Vercel's AI SDK with the provider for Ollama: it checks every line against a strict schema.

import { embedMany, generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { createOllama } from 'ollama-ai-provider-v2'
import { z } from 'zod'
import { ASK, caught, report, weather } from './report.mjs'

const ollama = createOllama({ baseURL: `${ASK.url}/api` })

const COUNTRY = z.object({
  name: z.string(),
  population: z.number().int(),
  languages: z.array(z.string()),
})

const GET_WEATHER = tool({
  description: 'Tell the weather in a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: weather,
})

// The provider only warns of a line that its schema refuses, and goes on without it.
const unread = []
console.warn = (...words) => unread.push(words.join(' '))

const strict = (act) => async () => {
  unread.length = 0
  const detail = await act()
  if (unread.length) throw new Error(`some lines were not read: ${unread[0]}`)
  return detail
}

const request = (prompt, name = ASK.model, options = {}) => ({
  model: ollama(name),
  prompt,
  maxRetries: 0,
  ...options,
})

const think = (on) => ({ providerOptions: { ollama: { think: on } } })

async function chat() {
  const { text, usage } = await generateText(request(ASK.say))
  return { text, tokens: tokens(usage) }
}

async function stream() {
  const { textStream, usage } = streamText(request(ASK.say))
  const pieces = []
  for await (const piece of textStream) pieces.push(piece)
  return { pieces, tokens: tokens(await usage) }
}

const tokens = (usage) => [usage.inputTokens, usage.outputTokens]

async function tools() {
  const { toolCalls } = streamText(request(ASK.weather, ASK.model, { tools: { get_weather: GET_WEATHER } }))
  return { ...(await rounds(ASK.model, ASK.weather)), streamed: calls(await toolCalls) }
}

// The SDK asks, runs the tools and tells their results.
async function rounds(name, question) {
  const options = { tools: { get_weather: GET_WEATHER }, stopWhen: stepCountIs(3) }
  const { steps, text } = await generateText(request(question, name, options))
  return { calls: calls(steps[0].toolCalls), answer: text }
}

const calls = (toolCalls) => toolCalls.map((call) => [call.toolName, call.input])

async function structured() {
  const options = { output: Output.object({ schema: COUNTRY }) }
  return { value: (await generateText(request(ASK.country, ASK.model, options))).output }
}

async function thinking() {
  const { reasoningText, text } = streamText(request(ASK.say, ASK.model, think(true)))
  const off = await generateText(request(ASK.say, ASK.model, think(false)))
  return { thinking: await reasoningText, text: await text, off: off.reasoningText }
}

async function images() {
  const content = [{ type: 'text', text: ASK.say }, { type: 'image', image: ASK.image, mediaType: 'image/png' }]
  return { text: (await generateText(request([{ role: 'user', content }]))).text }
}

async function embeddings() {
  const model = ollama.embeddingModel(ASK.embedder)
  return { rows: (await embedMany({ model, values: ASK.texts })).embeddings }
}

async function error() {
  const error = await caught(() => generateText(request(ASK.say, ASK.unknown)))
  return { status: error.statusCode, text: JSON.parse(error.responseBody).error }
}

async function errorInStream() {
  const pieces = []
  const errors = []
  const { textStream, finishReason } = streamText(
    request(ASK.say, ASK.breaks, { onError: ({ error }) => errors.push(error) }),
  )
  for await (const piece of textStream) pieces.push(piece)
  if (!errors.length && (await finishReason) === 'other') return { text: 'no error was told', pieces }
  return { text: errors.map((error) => error?.message ?? String(error)).join(), pieces }
}

await report({
  list: 'it has no call for this',
  show: 'it has no call for this',
  chat: strict(chat),
  stream: strict(stream),
  tools: strict(tools),
  'two calls at once': () => rounds(ASK.two_calls, ASK.two_cities),
  'structured output': structured,
  thinking: strict(thinking),
  images,
  embeddings,
  error,
  'error in stream': errorInStream,
})
