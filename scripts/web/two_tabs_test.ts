/** The same page in two tabs of one browser: neither takes anything from the other. */
import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const settings = {...quick, sampleEvery: 0};

describe('two tabs', () => {
  it('train at once, and loading one takes nothing from what the other downloads', async () => {
    const context = await newContext();
    const tabs = [0, 1].map(() => Tab.open(context, hosts().preview.url, settings));
    const [one, other] = (await Promise.all(tabs)) as [Tab, Tab];
    // in one second, so that both runs would have the same name
    await Promise.all([one.click('start'), other.click('start')]);
    for (const tab of [one, other]) await tab.isIn('ended');
    expect(one.losses().steps).to.have.length(quick.steps as number);
    expect(other.losses()).to.eql(one.losses());
    await one.download('download-safetensors');
    await other.page.reload();
    await other.isIn('idle');
    await other.page.waitForTimeout(500);
    expect(await downloads(one)).to.have.length(1);
    expect([...one.errors, ...other.errors]).to.eql([]);
  });

  it('have a run in one alone, until that is closed', async () => {
    const context = await newContext();
    const long = {...settings, steps: 400, evaluateEvery: 1000};
    const [one, other] = [
      await Tab.open(context, hosts().preview.url),
      await Tab.open(context, hosts().preview.url, long),
    ];
    await other.click('start');
    await other.reaches(5);
    await other.click('pause');
    await other.isIn('paused');
    await other.page.reload();
    await other.isIn('idle');
    await one.page.reload();
    await one.isIn('idle');
    const unfinished = one.page.locator('#runs li').filter({hasText: /paused|broken off/});
    await unfinished.waitFor();
    const notice = one.page.locator('#notice:visible');
    await notice.getByRole('button', {name: 'Close'}).click();
    other.events.length = 0;
    await other.page.locator('#notice').getByRole('button', {name: 'Go on'}).click();
    await other.reaches(7);

    await unfinished.getByRole('button', {name: /^Delete/}).click();
    await unfinished.getByRole('button', {name: /^Really/}).click();
    await notice.filter({hasText: /Another tab has this run open/}).waitFor();
    await notice.getByRole('button', {name: 'Close'}).click();
    await unfinished.getByRole('button', {name: /^Go on/}).click();
    await notice.filter({hasText: /Another tab has this run open/}).waitFor();
    await one.isIn('idle');
    await one.page
      .locator('#runs li')
      .filter({hasText: /open in another tab/})
      .waitFor();

    await other.reaches(other.losses().steps.length + 1);
    await other.page.close();
    // as when one comes back to it
    const isListed = (): boolean => {
      document.dispatchEvent(new Event('visibilitychange'));
      return document.querySelector('#runs')!.textContent.includes('broken off');
    };
    await one.page.waitForFunction(isListed, undefined, {polling: 500});
    one.events.length = 0;
    await unfinished.getByRole('button', {name: /^Go on/}).click();
    await one.reaches(1);
    expect(one.of('ready')[0]!.step).to.be.at.least(5);
    expect([...one.errors, ...other.errors]).to.eql([]);
  });

  it('are of two builds while one trains: it goes on, and has all its files', async () => {
    const {plain} = hosts();
    const context = await newContext();
    const tab = await Tab.open(context, plain.url, {...settings, steps: 400});
    await tab.page.waitForFunction(() => crossOriginIsolated && navigator.serviceWorker.controller);
    await tab.isIn('idle');
    const report = await tab.page.evaluate(async () => {
      for (;;) {
        const [name] = await caches.keys();
        const kept = await (await caches.open(name!)).keys();
        const path = kept
          .map(({url}) => new URL(url).pathname)
          .find((each) => each.includes('report-'));
        if (path !== undefined && kept.some(({url}) => url.endsWith('union.txt'))) return path;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    });
    await tab.click('start');
    await tab.reaches(2);
    const [, file] = /(assets\/report-.*)$/.exec(report)!;
    const text = readFileSync(new URL('../../demo/web/dist/service_worker.js', import.meta.url), 'utf8'); // prettier-ignore
    const next = text.replace(/[\da-f]{16}/, 'f'.repeat(16)).replaceAll(file!, 'assets/report-next.js'); // prettier-ignore
    plain.changed.set('service_worker.js', next).set(file!, null);
    const other = await Tab.open(context, plain.url);
    await other.page.waitForFunction(async () => {
      const {active} = await navigator.serviceWorker.ready;
      const names = await caches.keys();
      return active?.state === 'activated' && names.some((name) => name.endsWith('f'.repeat(16)));
    });
    await tab.reaches(tab.losses().steps.length + 2);
    expect(tab.of('ready')).to.have.length(1);
    await tab.click('stop');
    await tab.isIn('ended');
    await tab.download('download-report');
    expect(tab.errors).to.eql([]);
  });

  /** What waits in the storage for the browser's downloads. */
  function downloads({page}: Tab): Promise<string[]> {
    return page.evaluate(async () => {
      const names: string[] = [];
      const root = await navigator.storage.getDirectory();
      for await (const name of (root as unknown as {keys(): AsyncIterable<string>}).keys())
        if (name.startsWith('owlore-download')) names.push(name);
      return names;
    });
  }
});
