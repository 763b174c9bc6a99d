// A browser at the page: draws, watches, cancels, paints a mask, uses settings again, finds everything again after a
// reload, lives through a server that goes away; pictures of it all.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [server, executablePath, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, headless: true, args });

function expect(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

const faults = [];
/** Faults that a step causes on purpose. */
const forgive = (...words) =>
  faults.splice(0, faults.length, ...faults.filter((fault) => !words.some((word) => fault.includes(word))));

async function open(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(180_000);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(server);
  await connected(page);
  return page;
}

const text = (page, id, pattern) =>
  page.waitForFunction(([id, p]) => new RegExp(p).test(document.getElementById(id).textContent), [id, pattern]);
const connected = (page) => text(page, "server", "^connected$");
const status = (page, pattern) => text(page, "status", pattern);
const shot = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
const field = (page, name) => page.getByLabel(name, { exact: true });
const press = (page, name) => page.getByRole("button", { name }).click();
const pictures = (page, count) =>
  page.waitForFunction((n) => document.querySelectorAll("#gallery li").length === n, count);
const waiting = (page, count) =>
  page.waitForFunction((n) => document.querySelectorAll("#queue li").length === n, count);
/** The fields that the page sent with its last order. */
const ordered = async (page) => {
  const [job] = (await (await page.request.get(`${server}/v1/jobs?limit=1`)).json()).jobs;
  return job;
};
/** A picture that the browser makes: noise, so that it is as large as a photo. */
const photo = (page, width, height, type) =>
  page.evaluate(async ([width, height, type]) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    const gradient = context.createLinearGradient(0, 0, width, height);
    ["#204060", "#e0a040", "#80c0f0"].forEach((color, i) => gradient.addColorStop(i / 2, color));
    context.fillStyle = gradient;
    context.fillRect(0, 0, width, height);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type })).arrayBuffer());
    return Array.from(bytes);
  }, [width, height, type]).then((bytes) => Buffer.from(bytes));

const page = await open({ viewport: { width: 1200, height: 850 } });
await field(page, "Prompt").fill("a red circle on a blue background");
await field(page, "Steps").fill("30");
await field(page, "Seed").fill("5");
await press(page, "Draw");
await status(page, "^step [0-9]+ of 30");
await shot(page, "1-progress");
await status(page, "^done in");
await shot(page, "2-picture");

// Several jobs at once, each stopped by itself.
await field(page, "Steps").fill("1000");
for (const [i, prompt] of ["a slow circle", "a second circle", "a third circle"].entries()) {
  await field(page, "Prompt").fill(prompt);
  await field(page, "Width").fill("256");
  await field(page, "Height").fill("256");
  await press(page, "Draw");
  await waiting(page, i + 1);
}
await text(page, "queue", "number 1 in the queue");
await text(page, "queue", "number 2 in the queue");
await shot(page, "3-queue");
await press(page, "Cancel a second circle");
await waiting(page, 2);

// After a reload the running jobs, the form and the gallery are there again.
await field(page, "Prompt").fill("words that are not drawn yet");
await page.getByLabel("Guidance").fill("3.5");
await page.reload();
await connected(page);
await waiting(page, 2);
await pictures(page, 1);
expect((await field(page, "Prompt").inputValue()) === "words that are not drawn yet", "the prompt is there again");
expect((await page.getByLabel("Guidance").inputValue()) === "3.5", "the guidance is there again");
expect((await field(page, "Steps").inputValue()) === "1000", "the steps are there again");
await status(page, "^step [0-9]+ of 1000");
await shot(page, "4-after-reload");
for (const name of ["Cancel a third circle", "Cancel a slow circle"]) await press(page, name);
await waiting(page, 0);
await status(page, "^cancelled");

// A start picture, a mask, and settings that take both away.
await press(page, /red circle/);
await shot(page, "5-details");
await press(page, "Start from this picture");
await field(page, "Steps").fill("20");
for (const side of ["Width", "Height"]) await field(page, side).fill("");
await field(page, "Prompt").fill("a green square on a white background");
const mask = page.locator("#mask");
await mask.waitFor({ state: "visible" });
await mask.scrollIntoViewIfNeeded();
const box = await mask.boundingBox();
await page.mouse.move(box.x + box.width * 0.15, box.y + box.height * 0.3);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.35, { steps: 8 });
await page.mouse.move(box.x + box.width * 0.2, box.y + box.height * 0.7, { steps: 8 });
await page.mouse.up();
await mask.focus();
for (const key of ["ArrowRight", "Space", "ArrowDown", "Space"]) await page.keyboard.press(key);
await shot(page, "6-mask");
const painted = () => page.evaluate(() => {
  const mask = document.getElementById("mask");
  const { data } = mask.getContext("2d").getImageData(0, 0, mask.width, mask.height);
  return data.filter((value, i) => i % 4 === 3 && value > 127).length;
});
const before = await painted();
await page.waitForTimeout(500);
await page.reload();
await connected(page);
await mask.waitFor({ state: "visible" });
expect(before > 50 && Math.abs((await painted()) - before) < before / 20, "picture and mask are there again");
await press(page, "Draw");
await status(page, "^done in");
await pictures(page, 2);
await shot(page, "7-inpainted");
expect((await ordered(page)).operation === "inpaint", "the mask was sent");
await page.locator("#gallery button").nth(1).click();
await press(page, "Use these settings");
expect((await field(page, "Seed").inputValue()) === "5", "the seed is back");
await page.locator("#editor").waitFor({ state: "hidden" });
await field(page, "Steps").fill("4");
await press(page, "Draw");
await status(page, "^done in");
expect((await ordered(page)).operation === "txt2img", "settings of a job bring no picture of another");
await pictures(page, 3);

// What is no picture does not stay; a photo is sent no larger than needed.
const choose = (name, buffer, mimeType = "image/png") =>
  page.locator("#file").setInputFiles({ name, mimeType, buffer });
await page.evaluate(() => { document.getElementById("start").open = true; });
await choose("good.png", await photo(page, 96, 64, "image/png"));
await page.locator("#editor").waitFor({ state: "visible" });
await choose("notes.png", Buffer.from("no picture at all"));
await text(page, "problem", "no picture");
await page.locator("#editor").waitFor({ state: "hidden" });
expect((await page.locator("#file").inputValue()) === "", "the file is gone");
await shot(page, "8-no-picture");
await press(page, "Draw");
await status(page, "^done in");
expect((await ordered(page)).operation === "txt2img", "what was no picture is not sent");
await pictures(page, 4);
await choose("photo.jpg", await photo(page, 4032, 3024, "image/jpeg"), "image/jpeg");
await page.locator("#editor").waitFor({ state: "visible" });
expect((await page.evaluate(() => document.getElementById("mask").width)) === 1184, "the editor has about a megapixel");
await text(page, "scaling", "4032x3024; it is sent as 1184x888");
await shot(page, "9-photo");
for (const [width, height, expected] of [["128", "96", "128x96"], ["", "", "1184x888"]]) {
  await field(page, "Width").fill(width);
  await field(page, "Height").fill(height);
  await field(page, "Steps").fill("2");
  const [request] = await Promise.all([page.waitForRequest((r) => r.method() === "POST" && r.url().endsWith("/v1/jobs")), press(page, "Draw")]);
  const body = request.postDataBuffer();
  // Sides out of the header of the PNG that was sent.
  const at = body?.indexOf("IHDR") ?? -1;
  if (at > 0) expect(`${body.readUInt32BE(at + 4)}x${body.readUInt32BE(at + 8)}` === expected, `a photo is sent as ${expected}`);
  await waiting(page, 1);
  if (width === "") await press(page, /^Cancel /);
  await waiting(page, 0);
}
await press(page, "Remove picture");
forgive("422");

// A warning stays to be seen.
await field(page, "Prompt").fill("a cat");
await page.evaluate(() => {
  const words = document.createElement("input");
  Object.assign(words, { name: "long_prompt", value: "truncate", type: "hidden" });
  document.getElementById("order").append(words);
});
await field(page, "Prompt").fill("one two three four five ".repeat(40));
for (const side of ["Width", "Height"]) await field(page, side).fill("64");
await press(page, "Draw");
await status(page, "^done in");
await text(page, "warnings", "the prompt is too long");
await shot(page, "10-warning");
await page.locator("#gallery button").first().click();
await text(page, "facts", "warnings.*too long");
await press(page, "Close");
await page.evaluate(() => document.querySelector("[name=long_prompt]").remove());
await field(page, "Prompt").fill("a cat");
await press(page, "Draw");
await status(page, "^done in");
await page.waitForFunction(() => document.getElementById("warnings").textContent === "");

// A server that goes away is said, and forgotten once it is back; what runs meanwhile is heard to its end.
await field(page, "Steps").fill("100");
await press(page, "Draw");
await status(page, "^step");
await page.route("**/*", (route) => route.abort());
await text(page, "server", "does not answer");
await press(page, "Draw");
await text(page, "problem", "does not answer");
await shot(page, "11-away");
await page.unroute("**/*");
await connected(page);
await page.locator("#problem").waitFor({ state: "hidden" });
await status(page, "^(done in|step)");
await waiting(page, 0);
forgive("ERR_FAILED");

await page.evaluate(() => { document.getElementById("order").noValidate = true; });
await field(page, "Width").fill("65");
await press(page, "Draw");
await text(page, "problem", "width");
await shot(page, "12-problem");
forgive("422");
const all = await page.locator("#gallery li").count();
await page.locator("#gallery button").first().click();
await press(page, "Delete");
await pictures(page, all - 1);
await page.reload();
await connected(page);
await pictures(page, all - 1);

const phone = await open({ viewport: { width: 375, height: 780 }, colorScheme: "dark", hasTouch: true, isMobile: true });
expect((await phone.locator("#gallery li").count()) === 0, "another browser's pictures are its own");
await field(phone, "Prompt").fill("a yellow star");
await field(phone, "Steps").fill("30");
for (let i = 0; i < 2; i += 1) {
  await press(phone, "Draw");
  await phone.waitForFunction(() => !document.querySelector("#order .primary").disabled);
}
await status(phone, "^step");
await shot(phone, "13-phone-queue");
await pictures(phone, 2);
await waiting(phone, 0);
await shot(phone, "14-phone-dark");
const wide = await phone.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
expect(!wide, "nothing stands over at phone width");
const nameless = await phone.evaluate(() =>
  [...document.querySelectorAll("input, select, textarea, button, canvas[tabindex]")]
    .filter((element) => !element.labels?.length && !element.getAttribute("aria-label") && !element.textContent.trim())
    .map((element) => element.outerHTML),
);
expect(nameless.filter((html) => !html.includes("<img")).length === 0, `every control has a name: ${nameless}`);
expect(faults.length === 0, `no fault in the console: ${faults.join("; ")}`);
await browser.close();
console.log("drawn, queued, cancelled, found again after a reload, painted, used again, scaled down, warned, away and back, refused, deleted, on a phone");
