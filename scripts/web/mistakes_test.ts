/** What hands do that nobody asked them to: twice, too early, beside the place that is meant. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const settings = {...quick, steps: 400, evaluateEvery: 1000, sampleEvery: 0};

describe('the page, by mistake', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
  });
  after(() => rmSync(folder, {recursive: true, force: true}));

  it('clicked twice, and with files and links dropped on it, trains on', async () => {
    const file = join(folder, 'a.jsonl');
    writeFileSync(file, '{"text": "Call me Ishmael."}\n'.repeat(40));
    const tab = await Tab.open(await newContext(), hosts().preview.url, settings);
    const {page} = tab;
    await page.locator('input[name=data][value=files]').check();
    const zone = page.locator('#data-panel .drop:visible');
    await page.evaluate(() => {
      const {prototype} = DataTransferItem;
      const {webkitGetAsEntry} = prototype;
      prototype.webkitGetAsEntry = () => {
        prototype.webkitGetAsEntry = webkitGetAsEntry;
        const refused = Promise.reject(new DOMException('The file is gone', 'NotFoundError'));
        return {isFile: true, file: refused.then.bind(refused)} as unknown as FileSystemFileEntry;
      };
    });
    await tab.drop(zone, {files: [file]});
    await zone.getByText('This cannot be read. The file is gone.').waitFor();
    await tab.drop(zone, {files: [file]});
    await page.getByText('40 examples').waitFor();

    await page.locator('#start').dblclick();
    await tab.reaches(2);
    const url = page.url();
    const link = {items: [{mimeType: 'text/uri-list', data: `${hosts().plain.url}?link`}]};
    for (const place of [zone, page.locator('#title'), page.locator('#loss-chart')])
      for (const what of [{files: [file]}, link]) await tab.drop(place, what);
    await tab.reaches(tab.losses().steps.length + 2);
    expect(page.url()).to.equal(url);
    for (const [button, state] of [
      ['pause', 'paused'],
      ['resume', 'training'],
    ] as const) {
      await page.locator(`#${button}`).dblclick();
      await tab.isIn(state);
      await page.waitForTimeout(500);
      expect(await page.evaluate(() => document.body.dataset.state)).to.equal(state);
    }
    expect(tab.errors).to.eql([]);
  });

  it('started before its host is isolated, trains on one thread, and is not loaded once more', async () => {
    const context = await newContext();
    await context.addInitScript(() => {
      const {register} = ServiceWorkerContainer.prototype;
      ServiceWorkerContainer.prototype.register = async function (...args) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return register.apply(this, args);
      };
    });
    const tab = await Tab.open(context, hosts().plain.url, quick);
    await tab.click('start');
    await tab.page.waitForFunction(() => navigator.serviceWorker.controller);
    await tab.page.waitForTimeout(1000);
    await tab.isIn('ended');
    expect(tab.of('ready').map(({threads}) => threads)).to.eql([1]);
    expect(tab.errors).to.eql([]);
  });

  it('opened as a file, says what it needs', async () => {
    const page = await (await newContext()).newPage();
    await page.goto(new URL('../../demo/web/dist/index.html', import.meta.url).href);
    const words = page.getByText(/opened as a file, it needs a server/);
    expect(await words.isVisible()).to.equal(true);
    await page.goto(hosts().preview.url);
    expect(await words.isVisible()).to.equal(false);
  });

  it('given files with names that hide, mislead or do not end, shows them as they are', async () => {
    const context = await newContext({viewport: {width: 360, height: 740}});
    const tab = await Tab.open(context, hosts().preview.url);
    await tab.page.locator('input[name=data][value=files]').check();
    const input = tab.page.locator('#data-panel input[type=file]');
    for (const [name, shown] of [
      [`${'long'.repeat(60)}.jsonl`, /on (long)+lo…ng(long)+\.jsonl\.$/],
      ['a\u202elnosj.txt', /on a\ufffdlnosj\.txt\.$/],
      ['..\\..\\up.jsonl', /on \.\.\\\.\.\\up\.jsonl\.$/],
      ['%2e%2e%2fup.jsonl', /on %2e%2e%2fup\.jsonl\.$/],
      ['.hidden.jsonl', /on \.hidden\.jsonl\.$/],
    ] as const) {
      await input.setInputFiles({name, mimeType: '', buffer: Buffer.from('{"text": "Call me."}')});
      expect(await tab.text('phase')).to.match(shown);
      const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide, name).to.be.at.most(360);
    }
    expect(tab.errors).to.eql([]);
  });
});
