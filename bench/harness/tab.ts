/** A page of this machine in a tab of headless chromium: its host, and what the tab's process takes. */
import {once} from 'node:events';
import {createReadStream, createWriteStream, mkdtempSync, rmSync, statSync} from 'node:fs';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {extname, join} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {chromium, type Page} from 'playwright-core';
import {peakResidentBytes} from './process_usage';
import {contentTypes} from '../../tools/run_page';

export interface TabHost {
  url: string;
  close(): Promise<void>;
}

/**
 * Serves folders under the headers with which threads share memory, also in parts, as the Hub does. A file that is sent by PUT is written
 * there.
 *
 * @param folders By their paths, `/` the last, each a URL that ends in `/`.
 */
export async function serveFolders(folders: Readonly<Record<string, URL>>): Promise<TabHost> {
  const fileOf = (request: IncomingMessage): URL => {
    // a pathname that was parsed has no `..` left
    const {pathname} = new URL(request.url!, 'http://localhost');
    const path = Object.keys(folders).find((each) => pathname.startsWith(each));
    if (path === undefined) throw new Error(`nothing is at ${pathname}`);
    return new URL(pathname.slice(path.length) || 'index.html', folders[path]);
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const file = fileOf(request);
    if (request.method === 'PUT') {
      await pipeline(request, createWriteStream(file));
      response.writeHead(204).end();
      return;
    }
    const {size} = statSync(file);
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const range = {start: Number(from), end: to === '' ? size - 1 : Math.min(Number(to), size - 1)};
    const isPart = request.headers.range !== undefined;
    response.writeHead(isPart ? 206 : 200, {
      'content-type': contentTypes[extname(file.pathname)] ?? 'application/octet-stream',
      'content-length': size === 0 ? 0 : range.end - range.start + 1,
      'accept-ranges': 'bytes',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      ...(isPart && {'content-range': `bytes ${range.start}-${range.end}/${size}`}),
    });
    if (request.method === 'HEAD' || size === 0) response.end();
    else await pipeline(createReadStream(file, range), response);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else response.writeHead(404).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Calls a function with a page of a new profile of chromium, which is on the disk, as a user's is. */
export async function inNewProfile<T>(use: (page: Page) => Promise<T>): Promise<T> {
  const profile = mkdtempSync(join(tmpdir(), 'owlore-profile-'));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: ['--no-sandbox'],
    });
    // which tsx has functions that are sent to a page call
    await context.addInitScript('globalThis.__name = (named) => named');
    try {
      return await use(context.pages()[0]!);
    } finally {
      await context.close();
    }
  } finally {
    rmSync(profile, {recursive: true, force: true});
  }
}

/** The most resident bytes that the process of a tab has had; undefined where there is no `/proc`. */
export async function peakBytesOfTab(page: Page): Promise<number | undefined> {
  const session = await page.context().browser()!.newBrowserCDPSession();
  const {processInfo} = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const peaks = processInfo
    .filter(({type}) => type === 'renderer')
    .map(({id}) => peakResidentBytes(id))
    .filter((peak) => peak !== undefined);
  return peaks.length === 0 ? undefined : Math.max(...peaks);
}
