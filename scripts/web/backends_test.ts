/** The page where it is not given all that it likes: threads, a GPU, the network. */
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

/** A software GPU compiles each shader for long. */
const short = {
  ...{
    method: 'owlore',
    scores: 'uniform',
    steps: 3,
    batchSize: 1,
    maxLength: 16,
    rank: 4,
    gamma: 1,
  },
  ...{interval: 2, evaluateEvery: 2, sampleEvery: 0, saveEvery: 0, validationSplit: 0.0005},
};

describe('the page', () => {
  it('trains on one thread where neither the host nor a service worker isolates it', async () => {
    const context = await newContext({serviceWorkers: 'block'});
    const tab = await Tab.open(context, hosts().plain.url, quick);
    expect(await tab.page.evaluate(() => crossOriginIsolated)).to.equal(false);
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.include({backend: 'wasm', threads: 1});
    expect(tab.losses().steps).to.have.length(quick.steps as number);
    expect(tab.errors).to.eql([]);
  });

  it('has threads by its service worker on a host without headers, and trains without a network', async () => {
    const context = await newContext();
    const tab = await Tab.open(context, hosts().plain.url);
    await tab.page.waitForFunction(() => crossOriginIsolated && navigator.serviceWorker.controller);
    await tab.isIn('idle');
    // it keeps the rest some seconds after the page is there; this is the last of it
    const isKept = (): Promise<boolean> =>
      tab.page.evaluate(
        async () => (await caches.match('texts/state-of-the-union.txt')) !== undefined,
      );
    while (!(await isKept())) await new Promise((resolve) => setTimeout(resolve, 200));
    await context.setOffline(true);
    await tab.goTo(hosts().plain.url, quick);
    await tab.page.reload();
    await tab.isIn('idle');
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.include({backend: 'wasm', threads: 2});
    expect(tab.losses().steps).to.have.length(quick.steps as number);
  });

  it('trains on webgl', async () => {
    const tab = await Tab.open(await newContext({gpu: true}), hosts().preview.url, {...short, backend: 'webgl'}); // prettier-ignore
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.include({backend: 'webgl'});
    expectLosses(tab, short.steps);
    expect(tab.errors).to.eql([]);
  });

  it('says that there is no WebGPU, and goes on with wasm at a click', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {
      ...quick,
      backend: 'webgpu',
    });
    await tab.click('start');
    const notice = tab.page.locator('#notice:visible');
    expect(await notice.innerText()).to.match(/no WebGPU.*Choose “wasm”/s);
    await notice.getByRole('button', {name: 'Start on wasm'}).click();
    await tab.isIn('ended');
    expect(tab.of('ready')[0]).to.include({backend: 'wasm'});
  });
});

function expectLosses(tab: Tab, steps: number): void {
  const losses = tab.losses().steps;
  expect(losses).to.have.length.at.least(steps);
  for (const loss of losses) expect(loss).to.be.within(1, 8);
}
