// Takes the README's picture: KITH_TEST_URL=… node picture.mjs LINK FILE
import { browser, fillIn, visit } from "./browser.mjs";
const [path, file] = process.argv.slice(2);
const page = await visit(path, { viewport: { width: 640, height: 860 }, deviceScaleFactor: 1.5 });
await fillIn(page, "ada");
await page.evaluate(() => document.activeElement.blur());
await page.screenshot({ path: file, fullPage: true });
await browser.close();
