/**
 * Takes the pictures of the page of `demo/web` that README and docs show, into `docs/images/`: a training, and what comes after it.
 *
 *   npx tsx scripts/screenshots.ts             # needs chromium, at /usr/bin or in CHROMIUM
 */
import {mkdirSync, statSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {chromium, type Page} from 'playwright-core';
import {buildPage, startPreview} from './web/hosts';

const folder = fileURLToPath(new URL('../docs/images/', import.meta.url));
/** The most bytes of a picture. */
const MAX_BYTES = 200e3;
/** Pixels around a part. */
const ROOM = 16;

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

mkdirSync(folder, {recursive: true});
await buildPage();
const host = await startPreview();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const page = await browser.newPage({
    viewport: {width: 1040, height: 1380}, // all charts, two beside each other
    colorScheme: 'light',
    reducedMotion: 'reduce',
  });
  await page.goto(host.url);
  await page.locator('body[data-state=idle]').waitFor();
  await page.click('#start');
  await page.waitForFunction(
    () => Number(/step (\d+)/.exec(document.querySelector('#phase')!.textContent)?.[1]) >= 150,
    undefined,
    {timeout: 300_000},
  );
  await picture(page, 'page-training.png');
  await page.locator('body[data-state=ended]').waitFor({timeout: 300_000});
  await page.click('#compare');
  await page.click('#chat-send');
  await page.locator('#chat-send:enabled').waitFor({timeout: 60_000});
  await page.emulateMedia({colorScheme: 'dark'});
  await page.locator('#after-title').click(); // the cursor stands nowhere
  await picture(page, 'page-after.png', '#after');
} finally {
  await browser.close();
  await host.close();
}

/** Of the window, or of a part of the page with some room around it. */
async function picture(page: Page, name: string, part?: string): Promise<void> {
  await page.screenshot({
    path: folder + name,
    clip:
      part === undefined
        ? await page.evaluate(() => {
            const {right: width} = document.body.getBoundingClientRect(); // without the place of a scroll bar
            return {x: 0, y: 0, width, height: innerHeight};
          })
        : around((await page.locator(part).boundingBox())!),
  });
  const {size} = statSync(folder + name);
  if (size > MAX_BYTES) throw new Error(`${name} has ${size} bytes, more than ${MAX_BYTES}`);
  console.log(`docs/images/${name}: ${(size / 1000).toFixed(0)} kB`);
}

function around({x, y, width, height}: Box): Box {
  return {x: x - ROOM, y: y - ROOM, width: width + 2 * ROOM, height: height + 2 * ROOM};
}
