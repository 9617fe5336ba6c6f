// What the three Node scripts share: read what to use, run each case, print one JSON line for each.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The SDKs lie in the cache, not beside these scripts.
export const load = createRequire(process.env.MODULES + '/package.json');

/** base, model, embed, and credentials by name. */
export const told = JSON.parse(readFileSync(0, 'utf8'));

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

/** `kinds`: exception classes of the SDK, by name; the first that an error is an instance of. */
export async function run(cases, kinds) {
  for (const [name, work] of Object.entries(cases)) {
    if (process.env.ONLY && process.env.ONLY !== name) continue;
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
}
