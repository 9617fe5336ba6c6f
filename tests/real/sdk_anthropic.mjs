// @anthropic-ai/sdk, as a user writes it.
import { http, large, leave, load, pieces, run, together, told } from './sdk_run.mjs';
const Anthropic = load('@anthropic-ai/sdk').default;

const messages = [{ role: 'user', content: 'Say hello.' }];
const client = (credential, path = '') =>
  new Anthropic({ baseURL: told.base + path, authToken: told[credential], ...http });

async function chat(credential = 'key', model = told.model, made = client(credential), say = messages) {
  const answer = await made.messages.create({ model, messages: say, max_tokens: 24 });
  return { text: answer.content[0].text, tokens: answer.usage.output_tokens, reason: answer.stop_reason };
}

async function stream(credential = 'key') {
  const events = client(credential).messages.stream({ model: told.model, messages, max_tokens: 24 });
  const found = await pieces(events, (event) =>
    event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '');
  const last = await events.finalMessage();
  return { ...found, tokens: last.usage.output_tokens, done: last.stop_reason !== null };
}

async function models(credential = 'key') {
  const found = [];
  for await (const model of client(credential).models.list()) found.push(model.id);
  return { models: found.sort() };
}

await run({
  chat, stream, together: () => together(stream), list: models,
  'api_key chat': () => chat('key', told.model, new Anthropic({ baseURL: told.base, apiKey: told.key, ...http })),
  'jwt chat': () => chat('jwt'), 'jwt stream': () => stream('jwt'), 'jwt list': () => models('jwt'),
  'narrow list': () => models('narrow'),
  '401 key': () => chat('wrong'), '401 expired': () => chat('expired'), '401 forged': () => chat('forged'),
  '401 stream': () => stream('wrong'), '401 list': () => models('wrong'),
  '403 model': () => chat('other'), '403 jwt': () => chat('jwt_other'), '403 stream': () => stream('other'),
  '404 model': () => chat('key', 'missing'),
  '401 large': () => chat('wrong', told.model, client('wrong'), large),
  '403 large': () => chat('nochat', told.model, client('nochat'), large),
  '404 large': () => chat('key', told.model, client('key', '/v1/messages'), large),
  '413 large': () => chat('key', told.model, client('key'), large),
}, {
  'anthropic.AuthenticationError': Anthropic.AuthenticationError,
  'anthropic.PermissionDeniedError': Anthropic.PermissionDeniedError,
  'anthropic.NotFoundError': Anthropic.NotFoundError,
  'anthropic.RateLimitError': Anthropic.RateLimitError,
}, {
  leave: async () => leave(await client('key').messages.create(
    { model: told.model, messages, max_tokens: 400, stream: true })),
  'limited chats': async () => [await chat('limited'), await chat('limited')][1],
  'budget chat': () => chat('budget'),
});
