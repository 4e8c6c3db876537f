/** The page in a tab, with what it did that a test wants to know. */
import type {BrowserContext, Download, Locator, Page} from 'playwright-core';
import {WATCH_WORKERS, WorkerEvents} from './worker_events';

/** Settings with which a training takes seconds. */
export const quick: Readonly<Record<string, string | number>> = {
  steps: 8,
  batchSize: 2,
  maxLength: 32,
  rank: 8,
  interval: 3,
  refreshInterval: 4,
  evaluateEvery: 8,
  sampleEvery: 8,
  saveEvery: 4,
  validationSplit: 0.0005,
  threads: 2,
};

interface Dropped {
  files?: string[];
  items?: {mimeType: string; data: string}[];
}

export class Tab extends WorkerEvents {
  /** What no page should say: errors that nobody caught, those of the console, dialogs. */
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {
    super();
    page.on('pageerror', (error) => this.errors.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') this.errors.push(message.text());
    });
    page.on('dialog', (dialog) => {
      this.errors.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  /** Opens the page of a host. */
  static async open(
    context: BrowserContext,
    url: string,
    settings: Readonly<Record<string, string | number>> | string = {},
  ): Promise<Tab> {
    const page = await context.newPage();
    const tab = new Tab(page);
    await page.exposeFunction('tellEvent', (text: string) => tab.tell(text));
    await page.addInitScript(WATCH_WORKERS);
    await tab.goTo(url, settings);
    return tab;
  }

  async goTo(
    url: string,
    settings: Readonly<Record<string, string | number>> | string = {},
  ): Promise<void> {
    await this.page.goto(addressOf(url, settings));
    await this.isIn('idle');
  }

  /** Waits for a state of the page. */
  async isIn(state: 'idle' | 'training' | 'paused' | 'ended', timeout = 60_000): Promise<void> {
    try {
      await this.page.locator(`body[data-state="${state}"]`).waitFor({timeout});
    } catch (cause) {
      const seen = await this.page.locator('#phase, #notice').allInnerTexts();
      throw new Error(`the page is not ${state}: ${[...seen, ...this.errors].join(' | ')}`, {
        cause,
      });
    }
  }

  click(id: string): Promise<void> {
    return this.page.locator(`#${id}`).click();
  }

  text(id: string): Promise<string> {
    return this.page.locator(`#${id}`).innerText();
  }

  /** What is downloaded by a click on a button. */
  async download(id: string): Promise<Download> {
    const [download] = await Promise.all([this.page.waitForEvent('download'), this.click(id)]);
    return download;
  }

  /** Drops files or folders of this machine, or something else, on the middle of a part of the page. */
  async drop(target: Locator, data: Dropped): Promise<void> {
    await target.scrollIntoViewIfNeeded();
    const {x, y, width, height} = (await target.boundingBox())!;
    const devtools = await this.page.context().newCDPSession(this.page);
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await devtools.send('Input.dispatchDragEvent', {
        ...{type, x: x + width / 2, y: y + height / 2},
        data: {items: [], dragOperationsMask: 1, ...data},
      });
    }
  }

  heatMap(steps: number): Promise<string[][]> {
    return this.page.evaluate(heatMapColours, steps);
  }
}

/** The address of a page with settings. */
export function addressOf(
  url: string,
  settings: Readonly<Record<string, string | number>> | string,
): string {
  const hash =
    typeof settings === 'string'
      ? settings
      : Object.entries(settings)
          .map(([name, value]) => `${name}=${value}`)
          .join('&');
  return hash === '' ? url : `${url}#${hash}`;
}

/** In the page: the colours of the heat map at the middle of each block (row) and step. */
export function heatMapColours(steps: number): string[][] {
  const canvas = document.querySelector<HTMLCanvasElement>('#heat-cells')!;
  const box = canvas.getBoundingClientRect();
  const context = canvas.getContext('2d')!;
  return [...document.querySelectorAll('#heat-rows .row')].map((row) => {
    const {top, height} = row.getBoundingClientRect();
    const y = ((top + height / 2 - box.top) / box.height) * canvas.height;
    return Array.from({length: steps}, (_, step) => {
      const x = ((step + 0.5) / steps) * canvas.width;
      return context.getImageData(x, y, 1, 1).data.join();
    });
  });
}
