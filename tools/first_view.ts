/** What the page of `demo/web` loads until it is seen. */
import {gzipSync} from 'node:zlib';
import type {Page} from 'playwright-core';

/** Most bytes, compressed by gzip, of the first view: without tfjs and a model, which the worker loads when a training begins. */
export const FIRST_VIEW_LIMIT = 250_000;

/** Opens the page; resolves to the files that it asked for, each with its bytes, compressed by gzip. */
export async function openFirstView(page: Page, url: string): Promise<Record<string, number>> {
  const sizes: Record<string, Promise<number>> = {};
  page.on('response', (response) => {
    sizes[new URL(response.url()).pathname] ??= response
      .body()
      .then((body) => gzipSync(body, {level: 9}).length);
  });
  await page.goto(url, {waitUntil: 'networkidle'});
  const entries = Object.entries(sizes).map(async ([name, size]) => [name, await size] as const);
  return Object.fromEntries(await Promise.all(entries));
}
