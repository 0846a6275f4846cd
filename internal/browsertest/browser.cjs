// What scripts of tests share. See the package's doc.go.
'use strict';

const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

// check throws unless a condition holds. what says what should be so.
function check(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

// equal throws unless two values are the same as JSON.
function equal(got, want, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what}: ${a}, want ${b}`);
}

// until waits until an asynchronous function returns something true, and returns that. It waits long:
// only a failure needs the time.
async function until(what, attempt) {
  const end = Date.now() + 60000;
  for (;;) {
    const result = await attempt();
    if (result) return result;
    if (Date.now() > end) throw new Error(`waited a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// screenshot writes a picture of what a page shows, if the test was asked for pictures.
async function screenshot(page, name, options = {}) {
  const dir = process.env.GADWALL_TEST_SCREENSHOTS;
  if (!dir) return;
  fs.mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: path.join(dir, `${name}.png`), animations: 'disabled', ...options });
}

// open runs a script with a browser. GADWALL_URL is the server's address.
function open(script, options = {}) {
  (async () => {
    const browser = await chromium.launch({
      executablePath: process.env.GADWALL_CHROMIUM,
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    try {
      // Nothing moves: a check in the middle of an animation would see colours that only time explains.
      const context = await browser.newContext({
        viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options,
      });
      context.setDefaultTimeout(60000);
      const page = await context.newPage();
      await script({ browser, context, page, url: process.env.GADWALL_URL });
    } finally {
      await browser.close();
    }
  })().then(() => process.exit(0), (error) => {
    console.error(error.stack || error);
    process.exit(1);
  });
}

module.exports = { open, check, equal, until, screenshot };
