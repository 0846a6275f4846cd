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
//   - What package nodetest promises: the packages are those of package-lock.json, outside of the tree,
//     and a script that throws or does not end fails the test.
//   - A machine without Chromium, node or npm skips the test, and the skip names the program.
package browsertest
