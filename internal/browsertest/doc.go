// Package browsertest runs scripts of tests in a browser: Debian's Chromium, without a window, driven
// by playwright-core under node.
//
// A test calls Run with a script of its testdata. The script is a CommonJS module. It finds
// playwright-core and axe-core as modules, and browser.cjs of this package as "browser", which
// opens a page and has checks:
//
//	const { open, check } = require('browser');
//	open(async ({ page, url }) => {
//	  await page.goto(url);
//	  check(await page.title() === 'Gadwall', 'the title');
//	});
//
// # What always holds
//
//   - The tree has no node_modules. The packages are those of package-lock.json, which npm checks by
//     their hashes. They are installed once into the user's cache directory, without their scripts.
//   - A script that throws, or that does not end, fails the test. What it prints is the test's log.
//   - A machine without Chromium, node or npm skips the test, and the skip names the program.
package browsertest
