// What the three Node scripts share: read what to use, run each case, print one JSON line for each.
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

// The SDKs lie in the cache, not beside these scripts.
export const load = createRequire(process.env.MODULES + '/package.json');

/** base, model, embed, and credentials by name. */
export const told = JSON.parse(readFileSync(0, 'utf8'));

/** 25 MB: what is refused early is refused while this is on its way. Over HTTP/2 Node itself holds at most 10 MB of a
 *  connection (maxSessionMemory). */
export const large = [{ role: 'user', content: 'x'.repeat(process.env.PROTOCOL === 'h2' ? 2e6 : 25e6) }];

/** What an SDK is given to speak HTTP/2; nothing where it shall use its own. */
export const http = {};
let session;
if (process.env.PROTOCOL === 'h2') {
  const { Agent, fetch } = load('undici');
  const dispatcher = new Agent({ allowH2: true, connections: 1 });
  http.fetch = (url, init) => fetch(url, { ...init, dispatcher });
} else if (process.env.PROTOCOL === 'node:http2') {
  // undici lets a POST wait for the one before it; these share the connection at once.
  session = connect(told.base);
  http.fetch = (url, init) => new Promise((resolve, reject) => {
    const { pathname, search } = new URL(url);
    const stream = session.request({ ...Object.fromEntries(new Headers(init.headers)),
      ':method': init.method, ':path': pathname + search });
    stream.on('error', reject);
    stream.on('response', ({ ':status': status, ...fields }) =>
      resolve(new Response(Readable.toWeb(stream), { status, headers: Object.entries(fields) })));
    stream.end(init.body);
  });
}

/** Take a stream in: how many pieces of text came and how long after the first the last one. */
export async function pieces(parts, textOf) {
  let text = '', first, last, count = 0;
  for await (const part of parts) {
    const piece = textOf(part);
    if (piece) {
      text += piece;
      last = performance.now();
      first ??= last;
      count++;
    }
  }
  return { text, pieces: count, spread_s: (last - first) / 1000 };
}

/** Break off after five pieces, but stay. */
export async function leave(parts) {
  let count = 0;
  for await (const part of parts) if (++count === 5) break;
  parts.abort?.(); // ollama-js goes on otherwise
  const left = Date.now() / 1000;
  await new Promise((done) => setTimeout(done, 3000));
  return { left };
}

/** One, then four at once. */
export async function together(work) {
  const first = await work();
  return { answers: [first, ...await Promise.all([work(), work(), work(), work()])] };
}

/** `kinds`: exception classes of the SDK, by name; the first that an error is an instance of. `alone`: cases that
 *  run only where ONLY names one. */
export async function run(cases, kinds, alone) {
  const { ONLY } = process.env;
  for (const [name, work] of Object.entries({ ...cases, ...(ONLY ? alone : {}) })) {
    if (ONLY && ONLY !== name) continue;
    let found;
    try {
      found = await work();
    } catch (error) {
      const kind = Object.entries(kinds).find(([, type]) => error instanceof type);
      found = { raised: kind ? kind[0] : error.name, status: error.status ?? error.status_code ?? null,
        message: error.message };
    }
    console.log(JSON.stringify({ ...found, case: name }));
  }
  session?.close();
}
