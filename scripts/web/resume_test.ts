/** Runs that are broken off, and what the browser's storage keeps of them. */
import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import type {BrowserContext} from 'playwright-core';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

/** Long enough to be broken off in the middle, between two checkpoints. */
const steps = 40;
const settings = {...quick, steps, evaluateEvery: 20, sampleEvery: 0, saveEvery: 6};

describe('a run in the browser’s storage', () => {
  let whole: ReturnType<Tab['losses']>;
  before(async () => {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().preview.url, settings);
    await tab.click('start');
    await tab.isIn('ended');
    whole = tab.losses();
    expect(whole.steps).to.have.length(steps);
    await context.close();
  });

  /** Starts the run, and waits until it is in the middle. */
  async function begin(): Promise<{context: BrowserContext; tab: Tab}> {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().preview.url, settings);
    await tab.click('start');
    await tab.reaches(15);
    return {context, tab};
  }

  /** Goes on with it, in a page that has just been opened, and expects that nothing is seen of the break. */
  async function goOn(tab: Tab, from: number): Promise<void> {
    await tab.page.locator('#notice:visible').getByRole('button', {name: 'Go on'}).click();
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.have.property('step').that.is.at.least(from).and.below(steps);
    expect(tab.losses()).to.eql(whole);
    expect(await tab.text('phase')).to.match(/^Done: the built-in model has learnt from Moby-Dick/);
    expect(tab.errors).to.eql([]);
  }

  it('goes on bit for bit after a pause and a reload', async () => {
    const {tab} = await begin();
    await tab.click('pause');
    await tab.isIn('paused');
    const {length} = tab.losses().steps;
    tab.events.length = 0;
    await tab.page.reload();
    await tab.isIn('idle');
    await goOn(tab, length);
    expect(tab.of('ready')[0]!.step).to.equal(length);
  });

  it('goes on bit for bit after a reload while it trains', async () => {
    const {tab} = await begin();
    tab.events.length = 0;
    await tab.page.reload();
    await tab.isIn('idle');
    await goOn(tab, 12);
  });

  it('goes on bit for bit when its tab was closed', async () => {
    const {context, tab} = await begin();
    await tab.page.close();
    await goOn(await Tab.open(context, hosts().preview.url), 12);
  });

  it('goes on bit for bit when its tab has crashed', async () => {
    const {context, tab} = await begin();
    const crashed = tab.page.waitForEvent('crash');
    const devtools = await context.newCDPSession(tab.page);
    devtools.send('Page.crash').catch(() => undefined); // nobody is left to answer
    await crashed;
    await tab.page.close();
    await goOn(await Tab.open(context, hosts().preview.url), 12);
  });

  it('that is paused before its first step goes on, and is offered once, and no more when that was closed', async () => {
    // so that it is still measured what the model knows
    const slow = {...settings, validationSplit: 0.05};
    const tab = await Tab.open(await newContext(), hosts().preview.url, slow);
    await tab.click('start');
    await tab.isIn('training');
    await tab.click('pause');
    await tab.isIn('paused');
    expect(await tab.text('phase')).to.match(
      /^Paused before the first step\. .* also after closing/,
    );
    expect(await tab.page.locator('#progress').getAttribute('value')).to.equal('0');
    await tab.page.reload();
    const notice = tab.page.locator('#notice:visible');
    await notice.getByRole('button', {name: 'Go on'}).waitFor();
    expect(await notice.innerText()).to.match(/^A run is paused before the first step of 40: /);
    await notice.getByRole('button', {name: 'Close'}).click();
    await tab.page.reload();
    await tab.page.locator('#runs li').waitFor();
    await tab.page.waitForTimeout(200);
    expect(await notice.count()).to.equal(0);
  });

  it('whose worker ends before there is a checkpoint begins again, and is offered that while it is to pause', async () => {
    const context = await newContext();
    await context.addInitScript(() => {
      window.Worker = class extends Worker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args);
          addEventListener('end of worker', () =>
            this.dispatchEvent(new ErrorEvent('error', {message: 'it ends'})),
          );
        }
      };
    });
    const tab = await Tab.open(context, hosts().preview.url, {...settings, saveEvery: 0});
    await tab.click('start');
    await tab.reaches(2);
    await tab.page.evaluate(() => {
      document.querySelector<HTMLElement>('#pause')!.click();
      dispatchEvent(new Event('end of worker'));
    });
    await tab.isIn('idle');
    const notice = tab.page.locator('#notice:visible');
    expect(await notice.innerText())
      .to.match(/ended.*Begin it again/s)
      .and.not.match(/checkpoint/);
    tab.events.length = 0;
    await notice.getByRole('button', {name: 'Begin it again'}).click();
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.include({step: 0});
    expect(await notice.count()).to.equal(0);
  });

  it('is saved when its page is hidden', async () => {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().preview.url, {...settings, saveEvery: 0});
    await tab.click('start');
    await tab.reaches(3);
    expect(tab.of('checkpoint')).to.eql([]);
    await tab.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', {value: true});
      document.dispatchEvent(new Event('visibilitychange'));
    });
    const {step} = await tab.first('checkpoint');
    expect(step).to.be.at.least(3);
    await tab.page.close();
    await goOn(await Tab.open(context, hosts().preview.url), step);
  });

  it('is listed, opened when it was stopped or is done, goes on, and is deleted', async () => {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().preview.url, {...quick, validationSplit: 0.01});
    await tab.click('start');
    await tab.reaches(2);
    await tab.click('stop');
    // while it is measured what the model knows
    await tab.first('checkpoint');
    await tab.page.locator('#figure-time').getByText(/^0.s$/).waitFor();
    await tab.isIn('ended');
    const {steps: made} = tab.losses();
    tab.events.length = 0;
    await tab.page.reload();
    await tab.isIn('idle');
    const items = tab.page.locator('#runs li');
    await items.filter({hasText: 'stopped'}).waitFor();
    await tab.page.waitForTimeout(200);
    expect(await tab.page.locator('#notice:visible').count()).to.equal(0);
    const said = await watchWords(tab);
    await items.getByRole('button', {name: /^Open/}).click();
    await tab.isIn('ended');
    expect(await said())
      .to.include('Opening …')
      .and.not.include(LOOKING);
    expect(tab.losses().steps).to.eql(made);
    expect(await tab.text('phase')).to.equal(`Stopped after step ${made.length} of 8: the model is as it was then.`); // prettier-ignore
    expect(await tab.page.locator('#download-safetensors').isEnabled()).to.equal(true);
    await tab.page.reload();
    await tab.isIn('idle');
    await items.getByRole('button', {name: /^Go on/}).click();
    await tab.isIn('ended');
    tab.events.length = 0;
    await tab.page.reload();
    await tab.isIn('idle');
    const saidOfDone = await watchWords(tab);
    await items.getByRole('button', {name: /^Open/}).click();
    await tab.isIn('ended');
    expect(await saidOfDone())
      .to.include('Opening …')
      .and.not.include(LOOKING);
    expect(tab.losses().steps).to.have.length(quick.steps as number);
    const report = await tab.download('download-report');
    expect(readFileSync(await report.path(), 'utf8'))
      .to.include('"rank":8')
      .and.to.include('"learning rate":0.002')
      .and.to.include('"seed":0');
    await tab.page.fill('#chat-text', 'The captain');
    await tab.click('chat-send');
    await tab.page.locator('#chat-send:enabled').waitFor();
    expect((await tab.text('chat-after')).length).to.be.above(20);
    await tab.page.reload();
    await tab.isIn('idle');
    await items.getByRole('button', {name: /^Delete/}).click();
    await items.getByRole('button', {name: /Really|Delete/}).click();
    await items.waitFor({state: 'detached'});
    expect(tab.errors).to.eql([]);
  });

  it('is not lost when the storage is full', async () => {
    const {context, tab} = await begin();
    const setQuota = await quotaOf(context, tab);
    await setQuota(1000);
    const notice = tab.page.locator('#notice:visible');
    await notice.waitFor();
    expect(await notice.innerText()).to.match(/Delete earlier runs below, or make room/);
    await tab.isIn('paused');
    await setQuota();
    await tab.click('resume');
    await tab.isIn('ended');
    expect(tab.losses()).to.eql(whole);
  });

  it('does not begin in a storage without room, and says why', async () => {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().preview.url, settings);
    const setQuota = await quotaOf(context, tab);
    await tab.page
      .locator('#estimate-storage')
      .filter({hasText: /^Takes up to/})
      .waitFor();
    await setQuota(1000); // which the browser tells no page beforehand
    await tab.click('start');
    const notice = tab.page.locator('#notice:visible');
    await notice.waitFor();
    await tab.isIn('idle');
    expect(await notice.innerText()).to.match(/Delete earlier runs below, or make room/);
    expect(tab.errors).to.eql([]);
    await setQuota();
    await tab.click('start');
    await tab.reaches(1);
  });
});

/** What is said before the first step is made. */
const LOOKING = 'Looking at what the model knows so far …';

/** Hears what is said below the buttons from now on, each word of it. */
async function watchWords({page}: Tab): Promise<() => Promise<string[]>> {
  const said = await page.evaluateHandle(() => {
    const said: string[] = [];
    const phase = document.querySelector('#phase')!;
    new MutationObserver(() => said.push(phase.textContent)).observe(phase, {childList: true});
    return said;
  });
  return () => said.jsonValue();
}

/** Sets how many bytes the page's storage may take; as many as ever, if none are given. */
async function quotaOf(
  context: BrowserContext,
  {page}: Tab,
): Promise<(quotaSize?: number) => Promise<void>> {
  const devtools = await context.newCDPSession(page);
  const {origin} = new URL(page.url());
  return async (quotaSize) => {
    await devtools.send('Storage.overrideQuotaForOrigin', {
      origin,
      ...(quotaSize !== undefined && {quotaSize}),
    });
  };
}
