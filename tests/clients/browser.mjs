// A browser at the page: draws, watches, cancels, paints a mask, uses settings again; pictures of it all.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [server, executablePath, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, headless: true, args });

function expect(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(server);
  await page.waitForFunction(() => document.getElementById("server").textContent === "connected");
  return page;
}

const faults = [];
const page = await open({ viewport: { width: 1200, height: 850 } });
const shot = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
const status = (page, pattern) => page.waitForFunction((p) => new RegExp(p).test(document.getElementById("status").textContent), pattern);

await page.getByLabel("Prompt", { exact: true }).fill("a red circle on a blue background");
await page.getByLabel("Steps").fill("300");
await page.getByLabel("Seed").fill("5");
await page.getByRole("button", { name: "Draw" }).click();
await status(page, "^step [0-9]+ of 300");
await shot(page, "1-progress");
await status(page, "^done in");
await shot(page, "2-picture");

await page.getByLabel("Steps").fill("1000");
await page.getByRole("button", { name: "Draw" }).click();
await status(page, "^step");
await page.getByRole("button", { name: "Cancel" }).click();
await status(page, "^cancelled");
await shot(page, "3-cancelled");

await page.getByRole("button", { name: /red circle/ }).click();
await shot(page, "4-details");
await page.getByRole("button", { name: "Use these settings" }).click();
expect((await page.getByLabel("Seed").inputValue()) === "5", "the seed is back");

await page.getByRole("button", { name: /red circle/ }).click();
await page.getByRole("button", { name: "Start from this picture" }).click();
await page.getByLabel("Steps").fill("20");
await page.getByLabel("Prompt", { exact: true }).fill("a green square on a white background");
const mask = page.locator("#mask");
await mask.waitFor({ state: "visible" });
const box = await mask.boundingBox();
await page.mouse.move(box.x + box.width * 0.15, box.y + box.height * 0.3);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.35, { steps: 8 });
await page.mouse.move(box.x + box.width * 0.2, box.y + box.height * 0.7, { steps: 8 });
await page.mouse.up();
await mask.focus();
for (const key of ["ArrowRight", "Space", "ArrowDown", "Space"]) await page.keyboard.press(key);
await shot(page, "5-mask");
await page.getByRole("button", { name: "Draw" }).click();
await status(page, "^done in");
await shot(page, "6-inpainted");

await page.getByLabel("Steps").fill("3");
await page.getByLabel("Width").fill("64");
await page.evaluate(() => { document.getElementById("order").noValidate = true; });
await page.getByLabel("Width").fill("65");
await page.getByRole("button", { name: "Draw" }).click();
await page.waitForSelector("#problem:not([hidden])");
await shot(page, "7-problem");
expect(/width/.test(await page.locator("#problem").textContent()), "the field is named");
faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("422")));

await page.reload();
await page.waitForFunction(() => document.querySelectorAll("#gallery li").length >= 2);

const phone = await open({ viewport: { width: 375, height: 780 }, colorScheme: "dark", hasTouch: true, isMobile: true });
await phone.getByLabel("Prompt", { exact: true }).fill("a yellow star");
await phone.getByRole("button", { name: "Draw" }).click();
await status(phone, "^done in");
await shot(phone, "8-phone-dark");
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
console.log("drawn, watched, cancelled, used again, painted, refused, remembered, on a phone");
