// Opens the page of a monitoring port in a headless browser, driven through a pipe, and says on standard output, as
// JSON, what it shows. usage: node drive.js URL PICTURE.png AXE.js WIDTH HEIGHT light|dark [STEP...]
// A step: wait:SECONDS, key:NAME, click:SELECTOR, focus:SELECTOR, type:TEXT, none.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const [url, picture, axe, width, height, scheme, ...steps] = process.argv.slice(2);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "flume-page-"));
const browser = spawn("chromium", ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
  "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"],
{ stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const waiting = new Map(), events = [];
let last = 0, rest = "";
browser.stdio[4].on("data", chunk => {
  rest += chunk;
  for (let end; (end = rest.indexOf("\0")) >= 0; rest = rest.slice(end + 1)) {
    const message = JSON.parse(rest.slice(0, end));
    if (waiting.has(message.id)) { waiting.get(message.id)(message); waiting.delete(message.id); } else events.push(message);
  }
});
const pause = seconds => new Promise(done => setTimeout(done, seconds * 1000));
let session;
function send(method, params) {
  const id = ++last;
  browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId: session }) + "\0");
  return new Promise((done, fail) => waiting.set(id, answer => answer.error ? fail(new Error(method + ": " + answer.error.message)) : done(answer.result)));
}
async function evaluate(expression) {
  const answer = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails.exception || answer.exceptionDetails));
  return answer.result.value;
}
const CODES = { Enter: 13, Tab: 9, ArrowRight: 39, ArrowLeft: 37, ArrowDown: 40, ArrowUp: 38, Escape: 27 };
async function step(text) {
  const [verb, ...words] = text.split(":");
  const word = words.join(":");
  if (verb === "wait") return pause(Number(word));
  if (verb === "type") return send("Input.insertText", { text: word });
  if (verb === "focus") return evaluate(`document.querySelector(${JSON.stringify(word)}).focus()`);
  if (verb === "click") return evaluate(`document.querySelector(${JSON.stringify(word)}).dispatchEvent(new MouseEvent("click", { bubbles: true }))`);
  if (verb === "key") {
    for (const type of ["rawKeyDown", "keyUp"]) {
      await send("Input.dispatchKeyEvent", { type, key: word, code: word, windowsVirtualKeyCode: CODES[word] });
    }
    return pause(0.1);
  }
  if (verb !== "none") throw new Error("no step is called " + verb);
}

async function main() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  session = (await send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
  for (const domain of ["Page", "Runtime", "Network", "Log"]) await send(domain + ".enable");
  await send("Emulation.setDeviceMetricsOverride", { width: Number(width), height: Number(height), deviceScaleFactor: 1, mobile: Number(width) < 600 });
  await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  await send("Page.navigate", { url });
  for (let tries = 0; tries < 200 && !await evaluate('Boolean(document.querySelector("#problems > *") && document.querySelector("#flow button, #flow g"))'); tries++) await pause(0.1);
  await pause(1.5);
  for (const one of steps) await step(one);
  await pause(0.5);
  const shot = await send("Page.captureScreenshot", { format: "png" });
  fs.writeFileSync(picture, Buffer.from(shot.data, "base64"));
  const shown = await evaluate(`({ title: document.title, problems: document.getElementById("problems").innerText,
    focus: (document.activeElement.id || document.activeElement.textContent).slice(0, 60),
    panel: document.getElementById("panel").open ? document.getElementById("panel").innerText : "",
    nodes: document.querySelectorAll(".node:not(.part), .cards button").length,
    wide: document.documentElement.scrollWidth > innerWidth })`);
  // The page's own policy forbids foreign scripts; the debugger may run one.
  await evaluate(fs.readFileSync(axe, "utf8") + "; 0");
  const checked = await evaluate(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then(found =>
    found.violations.map(one => one.id + ": " + one.nodes.slice(0, 3).map(node => node.html.slice(0, 160) + " " + (node.any[0] || {}).message).join(" | ")))`);
  const origin = new URL(url).origin;
  const errors = events.filter(event => event.method === "Runtime.exceptionThrown" || (event.method === "Log.entryAdded" && event.params.entry.level === "error" && !/favicon/.test(event.params.entry.url || "")))
    .map(event => JSON.stringify(event.params).slice(0, 300));
  const foreign = events.filter(event => event.method === "Network.requestWillBeSent").map(event => event.params.request.url)
    .filter(address => !address.startsWith(origin) && !address.startsWith("data:"));
  console.log(JSON.stringify(Object.assign(shown, { violations: checked, errors, foreign })));
}

const limit = setTimeout(() => { browser.kill("SIGKILL"); process.exit(3); }, 90000);
main().then(() => 0, error => { console.error(error.message); return 1; }).then(async code => {
  clearTimeout(limit);
  browser.kill("SIGKILL");
  await pause(0.3);
  fs.rmSync(profile, { recursive: true, force: true });
  process.exit(code);
});
