/** The page in a tab, with what it did that a test wants to know. */
import {EventEmitter, once} from 'node:events';
import type {BrowserContext, Download, Page} from 'playwright-core';
import type {SentEvent} from '../../src/worker/messages';

/** Has the page tell of each event of its worker. */
const WATCH_WORKERS = `
  window.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', ({data}) => {
        if (data && 'event' in data) window.tellEvent(JSON.stringify(data));
      });
    }
  };
`;

export type EventOf<Name extends SentEvent['event']> = Extract<SentEvent, {event: Name}>['data'];

/** Settings with which a training takes seconds. */
export const quick: Readonly<Record<string, string | number>> = {
  steps: 12,
  batchSize: 2,
  maxLength: 32,
  rank: 8,
  interval: 3,
  refreshInterval: 4,
  evaluateEvery: 6,
  sampleEvery: 6,
  saveEvery: 4,
  validationSplit: 0.002,
  threads: 2,
};

export class Tab {
  /** Events of the worker, in their order. */
  readonly events: SentEvent[] = [];
  /** What no page should say: errors that nobody caught, those of the console, dialogs. */
  readonly errors: string[] = [];
  private readonly emitter = new EventEmitter();

  private constructor(readonly page: Page) {
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
    await page.exposeFunction('tellEvent', (text: string) => {
      tab.events.push(JSON.parse(text) as SentEvent);
      tab.emitter.emit('event');
    });
    await page.addInitScript(WATCH_WORKERS);
    await tab.goTo(url, settings);
    return tab;
  }

  async goTo(
    url: string,
    settings: Readonly<Record<string, string | number>> | string = {},
  ): Promise<void> {
    const hash =
      typeof settings === 'string'
        ? settings
        : Object.entries(settings)
            .map(([name, value]) => `${name}=${value}`)
            .join('&');
    await this.page.goto(hash === '' ? url : `${url}#${hash}`);
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

  /** The data of the events of a name. */
  of<Name extends SentEvent['event']>(name: Name): EventOf<Name>[] {
    return this.events.filter(({event}) => event === name).map(({data}) => data as EventOf<Name>);
  }

  /** Waits until a step is made. */
  async reaches(step: number, timeout = 60_000): Promise<void> {
    const signal = AbortSignal.timeout(timeout);
    while (!this.of('step').some((event) => event.step >= step)) {
      await once(this.emitter, 'event', {signal});
    }
  }

  /** The losses of steps and on held-out examples that the page knows, by their steps; of a step that was made twice the later one. */
  losses(): {steps: number[]; heldOut: Record<number, number>} {
    const [steps, heldOut]: [number[], Record<number, number>] = [[], {}];
    const add = ({event, data}: Pick<SentEvent, 'event' | 'data'>): void => {
      if (event === 'step')
        steps[(data as EventOf<'step'>).step - 1] = (data as EventOf<'step'>).loss;
      if (event === 'heldOut')
        heldOut[(data as EventOf<'heldOut'>).step] = (data as EventOf<'heldOut'>).loss;
      if (event === 'ready') (data as EventOf<'ready'>).history.forEach(add);
    };
    this.events.forEach(add);
    return {steps, heldOut};
  }

  /** What is downloaded by a click on a button. */
  async download(id: string): Promise<Download> {
    const [download] = await Promise.all([this.page.waitForEvent('download'), this.click(id)]);
    return download;
  }

  /** The colours of the heat map at the middle of each block (row) and step. */
  async heatMap(steps: number): Promise<string[][]> {
    return this.page.evaluate((steps) => {
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
    }, steps);
  }
}
