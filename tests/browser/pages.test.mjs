// The pages as people meet them, in headless Chromium.

import { after, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  browser, fillIn, fitsWidth, heading, invitations, noAxeFindings, password, picture, send, serverName, url, visit,
} from "./browser.mjs";

after(() => browser.close());

// `kith …` on the server under test.
const kith = (...verb) => execFileSync(process.env.KITH_TEST_VERB, verb, { encoding: "utf8" }).trim();

async function makeAccount(username, token) {
  const page = await visit(register(token));
  await fillIn(page, username);
  await send(page);
  await page.waitForURL(`${url}/welcome`);
}

const register = (token) => `/register?token=${token}`;

test("a friend opens the link, registers, and learns what to do now", async () => {
  const page = await visit(register(invitations.friend));
  assert.match(await heading(page), new RegExp(`Welcome to ${serverName}`));
  assert.equal(await page.locator("input[name=token]").inputValue(), invitations.friend);
  assert.equal(await page.evaluate(() => document.activeElement.id), "username");
  await fillIn(page, "ada");
  assert.equal(await page.locator("#strength-text").innerText(), "Very good");
  await picture(page, "register-filled");
  await send(page);
  await page.waitForURL(`${url}/welcome`);
  assert.equal(await heading(page), "You are in, ada");
  const text = await page.locator("main").innerText();
  assert.ok(text.includes(`@ada:${serverName}`) && text.includes(url));
  assert.match(await page.getByRole("link", { name: "Element in the browser" }).getAttribute("href"), /^https:\/\/app\.element\.io\//);
  const mobile = await page.getByRole("link", { name: "Element on this phone" }).getAttribute("href");
  assert.ok(mobile.startsWith("https://mobile.element.io/") && mobile.includes("hs_url=") && mobile.includes(`@ada:${serverName}`));
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  assert.ok(text.includes("only this machine") && text.includes("KITH_PUBLIC_URL"), "the test server is on loopback");
  assert.ok(!text.includes("administrator"));
  await picture(page, "welcome");
  await page.reload();
  assert.equal(await heading(page), "You are in, ada", "reloading sends nothing again");
  assert.deepEqual(page.problems, []);
});

test("the first administrator learns it before and after", async () => {
  const page = await visit(register(invitations.admin));
  assert.ok((await page.locator("main").innerText()).includes("You will be the administrator"));
  await picture(page, "register-admin");
  await fillIn(page, "host");
  await send(page);
  await page.waitForURL(`${url}/welcome`);
  assert.ok((await page.locator("main").innerText()).includes("You are the administrator"));
  await picture(page, "welcome-admin");
});

test("an invitation for one name has it filled in for good", async () => {
  const page = await visit(register(invitations.grace));
  const name = page.getByLabel("Your name here");
  assert.equal(await name.inputValue(), "grace");
  assert.equal(await name.getAttribute("readonly"), "");
  await picture(page, "register-pinned");
});

for (const [kind, expected] of Object.entries({
  used: "This invitation has been used",
  expired: "This invitation has expired",
  revoked: "This invitation was taken back",
  wrong: "We do not know this invitation",
  malformed: "This link is not complete",
})) {
  test(`an invitation that is ${kind} has a clear page`, async () => {
    if (kind === "used") await makeAccount("user", invitations.used);
    const page = await visit(register(encodeURIComponent(invitations[kind])));
    // Made to expire after a second, which may not be over yet.
    while (kind === "expired" && (await heading(page)).startsWith("Welcome")) await page.reload();
    assert.equal(await heading(page), expected);
    await picture(page, `invitation-${kind}`);
  });
}

test("without a token the page asks for one", async () => {
  const page = await visit("/register");
  await page.getByLabel("Invitation code").fill(invitations.many);
  await page.keyboard.press("Enter");
  assert.match(await heading(page), /^Welcome to/);
});

for (const [what, username, first, second, field, expected] of [
  ["a taken name", "ada", password, password, "username", /already called/],
  ["an impossible name", "ada lovelace", password, password, "username", /small letters/],
  ["a weak password", "linus", "password2026", "password2026", "password", /too easy to guess/],
  ["passwords that differ", "linus", password, "teapot river", "repeat", /not the same/],
]) {
  test(`${what} is said beside the field, and the entries stay`, async () => {
    const page = await visit(register(invitations.many));
    await fillIn(page, username, first, second);
    await send(page);
    const input = page.locator(`#${field}`);
    await page.locator(`#${field}[aria-invalid=true]`).waitFor();
    const described = (await input.getAttribute("aria-describedby")).split(" ");
    assert.ok(described.includes(`${field}-error`));
    assert.match(await page.locator(`#${field}-error`).innerText(), expected);
    assert.match(await page.getByRole("alert").innerText(), expected);
    assert.equal(await page.locator("#username").inputValue(), username);
    assert.equal(await page.locator("#password").inputValue(), first);
    assert.equal(await page.evaluate(() => document.activeElement.id), field, "the field to look at has the focus");
    assert.match(await page.title(), /^Something is missing/);
    await picture(page, `refused-${field}`);
    await noAxeFindings(page, what);
  });
}

test("it works without JavaScript", async () => {
  const page = await visit(register(invitations.many), { javaScriptEnabled: false });
  assert.ok(await page.locator("#reveal").isHidden() && (await page.locator("#strength").isHidden()));
  await fillIn(page, "barbara", "password1", "password1");
  await send(page);
  assert.match(await page.getByRole("alert").innerText(), /too easy to guess/);
  assert.equal(await page.locator("#username").inputValue(), "barbara");
  await picture(page, "no-javascript");
  await fillIn(page, "barbara");
  await send(page);
  await page.waitForURL(`${url}/welcome`);
  assert.equal(await heading(page), "You are in, barbara");
});

test("it works with a keyboard alone, in the order in which it is read", async () => {
  const page = await visit(register(invitations.many));
  const order = [];
  for (let i = 0; i < 5; i++) {
    order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.innerText));
    await page.keyboard.press("Tab");
  }
  assert.deepEqual(order, ["username", "password", "reveal", "repeat", "Create my account"]);
  await page.locator("#username").focus();
  await page.keyboard.type("grace.hopper");
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#password").getAttribute("type"), "text");
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/welcome`);
});

test("the strength is judged as the server judges it", async () => {
  const page = await visit(register(invitations.many));
  await page.getByLabel("Your name here").fill("ada");
  for (const [candidate, expected] of [
    ["short1!", "Too easy to guess"], ["password123", "Too easy to guess"], ["Password2024!", "Too easy to guess"],
    ["aaaaaaaaaaaaaaaa", "Too easy to guess"], ["abcdefghijklmnop", "Too easy to guess"], ["kqzvbtxw", "Could be better"],
    ["Kqzvbtxpm", "Good"], ["correct horse", "Very good"], ["grüße aus Köln", "Very good"],
  ]) {
    await page.getByLabel("Password", { exact: true }).fill(candidate);
    assert.equal(await page.locator("#strength-text").innerText(), expected, candidate);
  }
});

const all = {
  home: "/", register: register(invitations.many), "register-admin": register(invitations.admin2), token: "/register",
  revoked: register(invitations.revoked), welcome: "/welcome", login: "/_matrix/static/client/login/",
  "wrong link for a password": "/reset?token=wrong",
};

for (const [name, path] of Object.entries(all)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${name} has no findings by axe and fits a small phone, ${colorScheme}`, async () => {
      const page = await visit(path, { colorScheme, viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 });
      await noAxeFindings(page, `${name} ${colorScheme}`);
      await fitsWidth(page, name);
      await picture(page, `${name}-360-${colorScheme}`);
      assert.deepEqual(page.problems.filter((line) => !/40[04]|410/.test(line)), []);
    });
  }
}

test("a forgotten password is replaced by a link from the administrator", async () => {
  await makeAccount("forgetful", invitations.forgetful);
  const link = kith("user", "reset-link", "forgetful");
  const page = await visit(link.slice(url.length), { viewport: { width: 360, height: 740 } });
  await noAxeFindings(page, "reset");
  await fitsWidth(page, "reset");
  const replace = async (first, second) => {
    await page.getByLabel("New password").fill(first);
    await page.getByLabel("The same password again").fill(second);
    await page.getByRole("button", { name: "Save the new password" }).click();
  };
  await replace("quiet lamp orchard", "quiet lamp");
  assert.match(await page.getByRole("alert").innerText(), /not the same/);
  await picture(page, "reset");
  await replace("quiet lamp orchard", "quiet lamp orchard");
  await page.getByRole("heading", { name: "Your new password is saved" }).waitFor();
  await page.goto(link);
  assert.equal(await heading(page), "This link has been used");
});

test("the sign-in page for apps without one of their own hands the sign-in over", async () => {
  await makeAccount("marie", invitations.many);
  const page = await visit("/_matrix/static/client/login/");
  await page.evaluate(() => { window.matrixLogin = { onLogin: (answer) => { window.handedOver = answer; } }; });
  await page.getByLabel("Name").fill("marie");
  await page.getByLabel("Password").fill("not her password");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.match(await page.getByRole("alert").innerText(), /not right/);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForFunction(() => window.handedOver);
  assert.equal((await page.evaluate(() => window.handedOver)).user_id, `@marie:${serverName}`);
});
