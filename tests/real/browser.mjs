// A person at Open WebUI: reads steps as JSON lines, answers each with one JSON line, closes with its input.
//   open {url}  sign_in {email, password}  new_chat {model}  send {text}  grown {chars}  stoppable  stop  end
//   failed (a red box has come)  look -> {answer, grew, first_ms, last_ms, stop, toasts, title}  shot {path}
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(process.env.MODULES + '/package.json')('playwright-core');
const profile = mkdtempSync(join(tmpdir(), 'browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, viewport: { width: 1280, height: 800 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = context.pages()[0] ?? await context.newPage();
// At an administrator's first visit news cover everything, some time after the page has come.
await page.addLocatorHandler(page.getByRole('button', { name: "Okay, Let's Go!" }), (button) => button.click());

const ANSWER = '#messages-container #response-content-container';
const stopButton = page.getByRole('button', { name: 'Stop', exact: true });
const toasts = page.locator('[data-sonner-toast][data-type="error"]');
let limit = 60000;

async function until(what, condition) {
  const deadline = Date.now() + limit;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await page.waitForTimeout(20);
  }
  return {};
}

// Runs in the page from the click on: how long the last answer was, and when.
function watch(selector) {
  clearInterval(window.watching);
  window.seen = [];
  const start = performance.now(), old = document.querySelectorAll(selector).length;
  window.watching = setInterval(() => {
    const all = document.querySelectorAll(selector);
    const length = all.length > old ? all[all.length - 1].innerText.trim().length : 0;
    if (length > (window.seen.at(-1)?.length ?? 0)) {
      window.seen.push({ length, ms: Math.round(performance.now() - start) });
    }
  }, 20);
}

const seen = () => page.evaluate(() => window.seen ?? []);

const steps = {
  async open({ url }) {
    await page.goto(url, { waitUntil: 'domcontentloaded' });
    await page.locator('#email').waitFor();
  },
  async sign_in({ email, password }) {
    await page.locator('#email').fill(email);
    await page.locator('#password').fill(password);
    await page.locator('#password').press('Enter');
    await page.locator('#chat-input').waitFor();
  },
  async new_chat({ model }) {
    // A fresh page: the red boxes of the last chat are gone too.
    await page.goto(new URL('/', page.url()).href, { waitUntil: 'domcontentloaded' });
    await page.locator('#chat-input').waitFor();
    await page.locator('#model-selector-model-button').click();
    await page.locator('#model-search-input').fill(model);
    await page.getByRole('option', { name: `Select ${model} model` }).click();
  },
  async send({ text }) {
    await page.locator('#chat-input').click();
    await page.keyboard.type(text);
    await page.evaluate(watch, ANSWER);
    await page.locator('#send-message-button').click();
  },
  grown: ({ chars }) => until(`${chars} characters`, async () => ((await seen()).at(-1)?.length ?? 0) >= chars),
  stoppable: () => until('the stop button', async () => await stopButton.count() > 0),
  async stop() {
    const asked = page.waitForResponse((response) => /\/api\/tasks\/chat\/.*\/stop/.test(response.url()));
    await stopButton.click();
    return { status: (await asked).status() };
  },
  end: () => until('the end of the answer', async () => await stopButton.count() === 0 && (await seen()).length > 0),
  failed: () => until('an error', async () => await toasts.count() > 0),
  async look() {
    const answer = page.locator(ANSWER);
    const all = await seen();
    return {
      answer: await answer.count() ? (await answer.last().innerText()).trim() : '',
      grew: all.length, first_ms: all[0]?.ms, last_ms: all.at(-1)?.ms,
      stop: await stopButton.count() > 0, toasts: await toasts.allInnerTexts(), title: await page.title(),
    };
  },
  async shot({ path }) { await page.screenshot({ path }); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  let answer;
  try {
    limit = step.timeout_ms ?? limit;
    page.setDefaultTimeout(limit);
    answer = await steps[step.do](step) ?? {};
  } catch (error) {
    answer = { error: String(error).slice(0, 1000) };
    await page.screenshot({ path: join(tmpdir(), 'failed.png') }).catch(() => {});
  }
  console.log(JSON.stringify(answer));
}
await context.close();
rmSync(profile, { recursive: true, force: true });
