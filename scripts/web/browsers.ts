/** What all tests of the page share: its hosts, and browsers. */
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
} from 'playwright-core';
import {
  buildPage,
  startElsewhere,
  startPlainHost,
  startPreview,
  type Elsewhere,
  type Host,
  type PlainHost,
} from './hosts';

interface Shared {
  /** The page as `npm run demo:web` serves it. */
  preview: Host;
  /** The page on a host that sends no headers. */
  plain: PlainHost;
  /** A host that nothing should ask. */
  elsewhere: Elsewhere;
}

let shared: Shared | null = null;
const browsers = new Map<boolean, Promise<Browser>>();
const contexts: BrowserContext[] = [];

/** The hosts; the page was built before they were started. */
export function hosts(): Shared {
  if (!shared) throw new Error('the hosts have not been started');
  return shared;
}

/** A browser's profile of its own, in a browser with a software GPU or without one. What is asked of other hosts comes to `elsewhere`. */
export async function newContext(
  options: BrowserContextOptions & {gpu?: boolean} = {},
): Promise<BrowserContext> {
  const {gpu = false, ...others} = options;
  let browser = browsers.get(gpu);
  if (!browser) browsers.set(gpu, (browser = launch(gpu)));
  const context = await (await browser).newContext({reducedMotion: 'reduce', ...others});
  contexts.push(context);
  return context;
}

function launch(gpu: boolean): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      `--proxy-server=${new URL(hosts().elsewhere.url).host}`,
      '--ignore-certificate-errors', // of hosts for which `elsewhere` stands
      ...(gpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-unsafe-swiftshader'] : []), // prettier-ignore
    ],
  });
}

export const mochaHooks = {
  async beforeAll(this: Mocha.Context): Promise<void> {
    this.timeout(120_000);
    await buildPage();
    const [preview, plain, elsewhere] = await Promise.all([
      startPreview(),
      startPlainHost(),
      startElsewhere(),
    ]);
    shared = {preview, plain, elsewhere};
  },
  async afterEach(): Promise<void> {
    await Promise.all(
      contexts.splice(0).map(async (context) => {
        // the page may just ask for a file that a test answers; a test may have closed it
        await context.unrouteAll({behavior: 'ignoreErrors'}).catch(() => undefined);
        await context.close();
      }),
    );
    shared!.elsewhere.standsFor.clear();
    shared!.plain.changed.clear();
  },
  async afterAll(): Promise<void> {
    await Promise.all([...browsers.values()].map(async (browser) => (await browser).close()));
    await Promise.all(Object.values<Host>({...shared}).map((host) => host.close()));
  },
};
