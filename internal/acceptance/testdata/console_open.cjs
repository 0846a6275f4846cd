// The console of a server that wants no token shows no login.
'use strict';

const { open, check } = require('browser');

open(async ({ page, url }) => {
  await page.goto(url);
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  await page.getByRole('region', { name: 'Instances' }).getByText('this one').waitFor();
  check(!await page.getByRole('button', { name: 'Log out' }).isVisible(), 'there is nothing to log out of');
  await page.goto(`${url}/#/users`);
  await page.getByRole('link', { name: 'ada@example.com' }).first().waitFor();
});
