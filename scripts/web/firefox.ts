/** The page in a tab of headless Firefox, over WebDriver BiDi: as {@link Tab} in chromium, with the few methods that its test needs. */
import {existsSync, mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import puppeteer, {type Browser, type Page} from 'puppeteer-core';
import {addressOf, heatMapColours} from './tab';
import {WATCH_WORKERS, WorkerEvents} from './worker_events';

const path = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** Why there is no Firefox; null if there is one. One that is named must be there. */
export const lack =
  process.env.FIREFOX === undefined && !existsSync(path)
    ? 'Firefox is not tested: install firefox-esr, or name another one in FIREFOX'
    : null;

/** A browser with a profile, and a folder of downloads, of its own. */
export class Firefox {
  private static last: FirefoxTab | null = null;
  /** What that tab said of its run when it was last looked at. */
  private static phase: string | null = null;

  private constructor(
    readonly browser: Browser,
    private readonly downloads: string,
  ) {}

  static async launch(preferences: Record<string, unknown> = {}): Promise<Firefox> {
    const downloads = mkdtempSync(join(tmpdir(), 'tfjs-owlore-firefox-'));
    const browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: path,
      extraPrefsFirefox: {
        'ui.prefersReducedMotion': 1,
        'browser.download.folderList': 2,
        'browser.download.dir': downloads,
        ...preferences,
      },
    });
    return new Firefox(browser, downloads);
  }

  /** Opens the page of a host. */
  async open(
    url: string,
    settings: Readonly<Record<string, string | number>> | string = {},
  ): Promise<FirefoxTab> {
    const tab = (Firefox.last = new FirefoxTab(await this.browser.newPage()));
    Firefox.phase = null;
    await tab.watch();
    await tab.page.goto(addressOf(url, settings));
    await tab.isIn('idle');
    return tab;
  }

  /** Whether the tab that was opened last still starts its backend, or did when its browser was closed. */
  static async isStuck(): Promise<boolean> {
    await Firefox.look();
    return Firefox.phase === 'Starting the backend …';
  }

  private static async look(): Promise<void> {
    const phase = await Firefox.last?.text('phase').catch(() => null);
    if (phase != null) Firefox.phase = phase;
  }

  /** The path of a file that a click has downloaded. */
  async downloaded(name: string): Promise<string> {
    // what is not there as a whole has a `.part` beside it
    const isThere = (): boolean => {
      const names = readdirSync(this.downloads);
      return names.includes(name) && !names.some((each) => each.endsWith('.part'));
    };
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 50));
    return join(this.downloads, name);
  }

  async close(): Promise<void> {
    if (Firefox.last?.page.browser() === this.browser) await Firefox.look();
    await this.browser.close();
    rmSync(this.downloads, {recursive: true, force: true});
  }
}

export class FirefoxTab extends WorkerEvents {
  /** What no page should say: errors that nobody caught, those of the console, dialogs. */
  readonly errors: string[] = [];

  constructor(readonly page: Page) {
    super();
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') this.errors.push(message.text());
    });
    page.on('dialog', (dialog) => {
      this.errors.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  async watch(): Promise<void> {
    await this.page.evaluateOnNewDocument(`window.told = []; window.tellEvent = (text) => told.push(text); ${WATCH_WORKERS}`); // prettier-ignore
  }

  /** Takes all that the page has to tell: one by one its events would come late, and training is fast. */
  private async take(): Promise<void> {
    for (const text of (await this.page.evaluate('told.splice(0)')) as string[]) this.tell(text);
  }

  protected override async next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await this.take();
  }

  /** Waits for a state of the page. */
  async isIn(state: 'idle' | 'paused' | 'ended', timeout = 60_000): Promise<void> {
    try {
      await this.page.waitForSelector(`body[data-state="${state}"]`, {timeout});
      await this.take();
    } catch (cause) {
      const seen = [await this.text('phase'), await this.text('notice'), ...this.errors];
      throw new Error(`the page is not ${state}: ${seen.join(' | ')}`, {cause});
    }
  }

  /** Loads the page anew; what was told before is forgotten. */
  async reload(): Promise<void> {
    this.events.length = 0;
    await this.page.reload();
    await this.isIn('idle');
  }

  click(id: string): Promise<void> {
    return this.page.click(`#${id}`);
  }

  text(id: string): Promise<string> {
    return this.page.$eval(`#${id}`, (element) => element.textContent);
  }

  heatMap(steps: number): Promise<string[][]> {
    return this.page.evaluate(heatMapColours, steps);
  }
}
