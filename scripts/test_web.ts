/**
 * Tests the page of `demo/web` from outside, in headless chromium and, the way through it, in Firefox: what it shows of a training,
 * whether a run goes on after a break, whether what is downloaded is the model, what it says when something is missing, and that nothing
 * runs or leaves that should not.
 * The tests are those of `web/`, with a browser's profile for each.
 *
 *   npm run test:web                           # needs chromium, at /usr/bin or in CHROMIUM; firefox-esr likewise, or it is left out
 *   npm run test:web -- 'storage'              # those whose titles match
 */
import {readdirSync} from 'node:fs';
import Mocha from 'mocha';
import {mochaHooks} from './web/browsers';

const [grep] = process.argv.slice(2);
const mocha = new Mocha({
  timeout: 90_000,
  rootHooks: mochaHooks,
  forbidOnly: true,
  failZero: true,
  ...(grep !== undefined && {grep: new RegExp(grep)}),
});
const folder = new URL('web/', import.meta.url);
// describe and it; mocha itself would load the files as CommonJS, with hooks of their own
mocha.suite.emit('pre-require', globalThis, '', mocha);
for (const name of readdirSync(folder).sort()) {
  if (name.endsWith('_test.ts')) await import(new URL(name, folder).href);
}
mocha.run((failures) => (process.exitCode = failures > 0 ? 1 : 0));
