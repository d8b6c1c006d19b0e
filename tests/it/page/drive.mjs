// Does with a browser what it is told, a line of JSON a step, and answers each with a line: {"ok": …} or {"error": …}.
//
//   node drive.mjs PACKAGES CHROMIUM
//
// It notes what pages ask for and what their consoles say; `noted` tells.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [, , packages, executablePath] = process.argv;
const require = createRequire(`${packages}/package.json`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"],
});
const noted = { requests: [], refused: [], console: [] };
let page;

const steps = {
  async open({ url, width, height, dark, script }) {
    await page?.context().close();
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      javaScriptEnabled: script,
      reducedMotion: "reduce",
    });
    page = await context.newPage();
    page.on("request", (request) => noted.requests.push(request.url()));
    page.on("response", (answer) => answer.status() >= 400 && noted.refused.push(`${answer.status()} ${answer.url()}`));
    page.on("console", (message) => noted.console.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => noted.console.push(`error: ${error.stack ?? error}`));
    await page.goto(url);
  },
  // Waits until an expression is true. The page's policy forbids it to evaluate texts, so it is asked again and again.
  async wait({ until, patience }) {
    const deadline = Date.now() + patience;
    while (!(await page.evaluate(until))) {
      if (Date.now() > deadline) throw new Error(`not within ${patience} ms`);
      await new Promise((done) => setTimeout(done, 50));
    }
  },
  evaluate: ({ expression }) => page.evaluate(expression),
  // What a screen reader is told.
  accessibility: () => page.locator("body").ariaSnapshot(),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  async picture({ path }) {
    await page.screenshot({ path, fullPage: true });
  },
  noted: () => noted,
  // Everything that axe finds wrong, and how much it has looked at.
  async axe() {
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations", "incomplete"] }));
    const brief = (rules) => rules.map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => `${html}: ${failureSummary}`) }));
    return { violations: brief(found.violations), incomplete: brief(found.incomplete), passes: found.passes.map(({ id }) => id) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { step, ...what } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: (await steps[step](what)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error.message ?? error}` }));
  }
}
await browser.close();
