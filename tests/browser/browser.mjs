// Headless Chromium for the page tests, and what they ask of a page again and again.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// The server under test, and invitations of each kind that were made for this run.
export const url = process.env.KITH_TEST_URL;
export const serverName = process.env.KITH_TEST_SERVER_NAME;
export const invitations = JSON.parse(process.env.KITH_TEST_INVITATIONS);
export const password = "teapot river anvil";

const pictures = process.env.KITH_TEST_PICTURES;

export const browser = await chromium.launch({
  executablePath: process.env.KITH_TEST_CHROMIUM ?? "/usr/bin/chromium",
  // In a container there is no user for Chromium's own sandbox; the pages are ours.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

// A fresh visitor: no cookies, no history. `look` is what Playwright calls context options.
export async function visit(path, look = {}) {
  const context = await browser.newContext({ viewport: { width: 1024, height: 860 }, ...look });
  const page = await context.newPage();
  page.problems = [];
  page.on("console", (line) => line.type() === "error" && page.problems.push(line.text()));
  page.on("pageerror", (error) => page.problems.push(String(error)));
  await page.goto(url + path);
  return page;
}

export async function fillIn(page, username, first = password, second = first) {
  await page.getByLabel("Your name here").fill(username);
  await page.getByLabel("Password", { exact: true }).fill(first);
  await page.getByLabel("The same password again").fill(second);
}

export const send = (page) => page.getByRole("button", { name: "Create my account" }).click();

export const heading = (page) => page.getByRole("heading", { level: 1 }).innerText();

// WCAG 2.2 A and AA, and axe's own best practices.
export async function noAxeFindings(page, where) {
  // The page's policy lets no foreign script in; Playwright's evaluation is not bound by it.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((n) => n.html).join("\n  ")}`);
  assert.deepEqual(found, [], where);
}

export async function fitsWidth(page, where) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${where}: ${content} px of content in ${window} px`);
}

// Kept only where somebody wants to look.
export async function picture(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
}
