// Clients that others wrote, as their users write them: `clients.mjs NAME`. As clients.py, and half an emoji, which
// JSON.stringify writes as an escape: a chat window that cuts a text in two sends it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.MODULES + '/package.json');
const load = (name) => import(pathToFileURL(require.resolve(name)));
const told = JSON.parse(readFileSync(0, 'utf8'));
const extra = { session_id: 'abc-123', x_trace_id: '7' };
const authorized = { Authorization: `Bearer ${told.key}`, ...extra };

async function withAi(make, model, content, stream) {
  const { generateText, streamText } = await load('ai');
  const settings = { model: make(model), prompt: content, maxOutputTokens: 24, maxRetries: 0 };
  if (!stream) return [(await generateText(settings)).text];
  const parts = [];
  let failed;
  for await (const part of streamText({ ...settings, onError: ({ error }) => { failed = error; } }).textStream)
    parts.push(part);
  if (failed) throw failed;
  return parts;
}

const clients = {
  async 'ai-openai-compatible'(model, content, stream) {
    const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
    const provider = createOpenAICompatible({ name: 'corral', baseURL: `${told.base}/v1`, apiKey: told.key, headers: extra });
    return withAi((name) => provider.chatModel(name), model, content, stream);
  },
  async 'ollama-ai-provider-v2'(model, content, stream) {
    const { createOllama } = await load('ollama-ai-provider-v2');
    const provider = createOllama({ baseURL: `${told.base}/api`, headers: authorized });
    return withAi((name) => provider(name), model, content, stream);
  },
  async 'langchain-ollama-js'(model, content, stream) {
    const { ChatOllama } = await load('@langchain/ollama');
    const client = new ChatOllama({ model, baseUrl: told.base, numPredict: 24, headers: authorized, maxRetries: 0 });
    if (!stream) return [(await client.invoke(content)).content];
    const parts = [];
    for await (const part of await client.stream(content)) parts.push(part.content);
    return parts;
  },
};

const cases = {
  chat: [told.model, 'Say hello.', false],
  stream: [told.model, 'Say hello.', true],
  'hf.co': [told.hf, 'Say hello.', false],
  'hf.co stream': [told.hf, 'Say hello.', true],
  'half an emoji': [told.model, 'Say hello. \ud83d', false],
  large: [told.model, 'x'.repeat(25e6), false],
};
for (const [name, settings] of Object.entries(cases)) {
  let found;
  try {
    const pieces = (await clients[process.argv[2]](...settings)).filter(Boolean);
    found = { text: pieces.join(''), pieces: pieces.length };
  } catch (error) {
    found = { raised: error.name, message: `${error.message} ${error.cause?.message ?? ''}` };
  }
  console.log(JSON.stringify({ ...found, case: name }));
}
