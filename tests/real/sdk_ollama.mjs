// ollama-js, as a user writes it.
import { http, large, leave, load, pieces, run, together, told } from './sdk_run.mjs';
const { Ollama } = load('ollama');

const messages = [{ role: 'user', content: 'Say hello.' }];
const options = { num_predict: 24 };
const client = (credential, path = '') => new Ollama({ host: told.base + path,
  headers: credential ? { Authorization: `Bearer ${told[credential]}` } : {}, ...http });

async function chat(credential = 'key', model = told.model, say = messages, path = '') {
  const answer = await client(credential, path).chat({ model, messages: say, options });
  return { text: answer.message.content, tokens: answer.eval_count, reason: answer.done_reason };
}

async function stream(credential = 'key') {
  let last;
  const parts = await client(credential).chat({ model: told.model, messages, options, stream: true });
  const found = await pieces(parts, (part) => { last = part; return part.message.content; });
  return { ...found, tokens: last.eval_count, done: last.done };
}

async function generate() {
  const parts = await client('key').generate({ model: told.model, prompt: 'Once', options, stream: true });
  return pieces(parts, (part) => part.response);
}

async function models(credential = 'key') {
  const { models: found } = await client(credential).list();
  return { models: found.map((m) => m.model).sort() };
}

async function embed(credential = 'key') {
  const { embeddings } = await client(credential).embed({ model: told.embed, input: ['one', 'two'] });
  return { vectors: embeddings.length, size: embeddings[0].length };
}

await run({
  chat, stream, together: () => together(stream), generate, list: models, embed,
  show: async () => ({ family: (await client('key').show({ model: told.model })).details.family }),
  'jwt chat': () => chat('jwt'), 'jwt stream': () => stream('jwt'), 'jwt list': () => models('jwt'),
  'narrow list': () => models('narrow'),
  '401 none': () => chat(null), '401 key': () => chat('wrong'), '401 expired': () => chat('expired'),
  '401 forged': () => chat('forged'), '401 stream': () => stream('wrong'), '401 list': () => models('wrong'),
  '403 model': () => chat('other'), '403 verb': () => embed('narrow'), '403 jwt': () => chat('jwt_other'),
  '403 stream': () => stream('other'),
  '404 model': () => chat('key', 'missing'),
  '401 large': () => chat('wrong', told.model, large), '403 large': () => chat('nochat', told.model, large),
  '404 large': () => chat('key', told.model, large, '/nope'), '413 large': () => chat('key', told.model, large),
}, {}, {
  leave: async () => leave(await client('key').chat(
    { model: told.model, messages, options: { num_predict: 400 }, stream: true })),
  'limited chats': async () => [await chat('limited'), await chat('limited')][1],
  'budget chat': () => chat('budget'),
});
