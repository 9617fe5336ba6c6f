// openai-node, as a user writes it.
import { http, large, leave, load, pieces, run, together, told } from './sdk_run.mjs';
const OpenAI = load('openai').default;

const messages = [{ role: 'user', content: 'Say hello.' }];
const client = (credential, path = '/v1') =>
  new OpenAI({ baseURL: told.base + path, apiKey: told[credential], ...http });

async function chat(credential = 'key', model = told.model, say = messages, path = '/v1') {
  const answer = await client(credential, path).chat.completions.create({ model, messages: say, max_tokens: 24 });
  return { text: answer.choices[0].message.content, tokens: answer.usage.completion_tokens,
    reason: answer.choices[0].finish_reason };
}

async function stream(credential = 'key', more = { stream_options: { include_usage: true } }) {
  let tokens = null;
  const parts = await client(credential).chat.completions.create(
    { model: told.model, messages, max_tokens: 24, stream: true, ...more });
  const found = await pieces(parts, (part) => {
    tokens = part.usage?.completion_tokens ?? tokens;
    return part.choices[0]?.delta.content;
  });
  return { ...found, tokens, done: true };
}

async function completions() {
  const parts = await client('key').completions.create(
    { model: told.model, prompt: 'Once', max_tokens: 24, stream: true });
  return pieces(parts, (part) => part.choices[0]?.text);
}

async function responses() {
  let last;
  const events = await client('key').responses.create(
    { model: told.model, input: 'Say hello.', max_output_tokens: 24, stream: true });
  const found = await pieces(events, (event) => {
    last = event.type;
    return event.type === 'response.output_text.delta' ? event.delta : '';
  });
  return { ...found, last };
}

async function models(credential = 'key') {
  const found = [];
  for await (const model of client(credential).models.list()) found.push(model.id);
  return { models: found.sort() };
}

async function embed(credential = 'key') {
  const { data } = await client(credential).embeddings.create({ model: told.embed, input: ['one', 'two'] });
  return { vectors: data.length, size: data[0].embedding.length };
}

await run({
  chat, stream, together: () => together(stream), 'stream without usage': () => stream('key', {}), completions, responses, list: models,
  retrieve: async () => ({ models: [(await client('key').models.retrieve(told.model)).id] }), embed,
  'jwt chat': () => chat('jwt'), 'jwt stream': () => stream('jwt'), 'jwt list': () => models('jwt'),
  'narrow list': () => models('narrow'),
  '401 key': () => chat('wrong'), '401 expired': () => chat('expired'), '401 forged': () => chat('forged'),
  '401 stream': () => stream('wrong'), '401 list': () => models('wrong'),
  '403 model': () => chat('other'), '403 verb': () => embed('narrow'), '403 jwt': () => chat('jwt_other'),
  '403 stream': () => stream('other'),
  '404 model': () => chat('key', 'missing'), '404 retrieve': () => client('key').models.retrieve('missing'),
  '401 large': () => chat('wrong', told.model, large), '403 large': () => chat('nochat', told.model, large),
  '404 large': () => chat('key', told.model, large, '/v1/nope'), '413 large': () => chat('key', told.model, large),
}, {
  'openai.AuthenticationError': OpenAI.AuthenticationError,
  'openai.PermissionDeniedError': OpenAI.PermissionDeniedError,
  'openai.NotFoundError': OpenAI.NotFoundError,
  'openai.RateLimitError': OpenAI.RateLimitError,
}, {
  leave: async () => leave(await client('key').chat.completions.create(
    { model: told.model, messages, max_tokens: 400, stream: true })),
  'limited chats': async () => [await chat('limited'), await chat('limited')][1],
  'budget chat': () => chat('budget'),
});
