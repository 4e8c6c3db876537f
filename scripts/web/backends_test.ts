/** The page where it is not given all that it likes: threads, a GPU, the network. */
import {mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import type {JsonObject} from '../../src/files/json';
import {readConfigJson} from '../../src/llama/files/config_json';
import {weightShapes} from '../../src/llama/files/weight_shapes';
import {loadLlama} from '../../src/llama/index';
import {hosts, newContext} from './browsers';
import {heldOutLoss, QUESTION, saveWhole, unpack} from './in_node';
import {quick, Tab} from './tab';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));

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

  it('trains on webgpu, goes on when the GPU is gone and after a pause and a reload, and its files have the same losses in Node', async function () {
    this.timeout(300_000);
    const folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
    try {
      const own = join(folder, 'own');
      await saveWhole(own);
      const settings = {
        ...short,
        backend: 'webgpu',
        frozenDtype: 'F32',
        steps: 5,
        evaluateEvery: 5,
        saveEvery: 1,
      };
      const context = await newContext({gpu: true});
      const tab = await Tab.open(context, hosts().preview.url, settings);
      await tab.page.locator('input[name=model][value=files]').check();
      await tab.page.getByLabel('Choose a folder').setInputFiles(own);
      await tab.click('start');
      await tab.reaches(2, 140_000);
      expect(tab.of('ready')[0]).to.include({backend: 'webgpu'});
      const cells = await tab.heatMap(settings.steps);
      const [trained] = tab.of('step')[0]!.blocks;
      const sleeps = cells[(trained! + 1) % cells.length]![0];
      expect(cells.flatMap((row, block) => (row[0] === sleeps ? [] : [block]))).to.eql([trained]);
      expect(tab.errors).to.eql([]);

      const devtools = await context.browser()!.newBrowserCDPSession();
      await devtools.send('Browser.crashGpuProcess');
      const notice = tab.page.locator('#notice:visible');
      await notice.waitFor();
      expect(await notice.textContent()).to.match(/graphics card was taken away/);
      await tab.page
        .locator('#runs li')
        .filter({hasText: /broken off · step [1-9] of 5/})
        .waitFor();
      tab.events.length = 0;
      await notice.getByRole('button', {name: 'Go on from the last checkpoint'}).click();
      await tab.reaches(3, 140_000);
      await tab.click('pause');
      await tab.isIn('paused');
      tab.events.length = 0;
      await tab.page.reload();
      await tab.isIn('idle');
      await tab.page.locator('#notice:visible').getByRole('button', {name: 'Go on'}).click();
      await tab.isIn('ended', 140_000);
      expect(tab.of('ready')[0]).to.include({backend: 'webgpu'});
      expectLosses(tab, settings.steps);
      const zip = await tab.download('download-safetensors');
      const saved = await unpack(await zip.path(), folder);
      const {heldOut} = tab.losses();
      for (const [step, path] of [
        [0, own],
        [5, saved],
      ] as const) {
        const loaded = await loadLlama(path);
        // rounded in another order
        expect(await heldOutLoss(loaded, saved, settings)).to.be.closeTo(heldOut[step]!, 1e-5);
        loaded.model.dispose();
      }

      await tab.page.fill('#chat-text', QUESTION);
      await tab.click('chat-send');
      await tab.page.locator('#chat-after').filter({hasText: /\w/}).waitFor({timeout: 60_000});
      await tab.click('chat-stop');
    } finally {
      rmSync(folder, {recursive: true});
    }
  });

  it('says that memory is short, and how to take less, and trains with fewer rows', async () => {
    const context = await newContext({serviceWorkers: 'block'});
    // no heap of wasm grows beyond 48 MB
    await context.route(/training_worker[^/]*\.js$/, async (route) => {
      const response = await route.fetch();
      const limited = `{
        const {grow} = WebAssembly.Memory.prototype;
        WebAssembly.Memory.prototype.grow = function (pages) {
          if (this.buffer.byteLength / 65536 + pages > 768) throw new RangeError('no more');
          return grow.call(this, pages);
        };
      }`;
      await route.fulfill({response, body: `${limited}\n${await response.text()}`});
    });
    const settings = {...quick, batchSize: 128, maxLength: 128, method: 'full'};
    const tab = await Tab.open(context, hosts().preview.url, settings);
    await tab.click('start');
    const notice = tab.page.locator('#notice:visible');
    await notice.waitFor({timeout: 60_000});
    await tab.isIn('idle');
    expect(await notice.textContent()).to.match(/fewer rows in a batch or shorter rows/);
    await tab.page.fill('#setting-batchSize', '2');
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.losses().steps).to.have.length(quick.steps as number);
  });

  it('says beforehand that a model does not fit, and takes the setting that does', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
    try {
      const tab = await Tab.open(await newContext(), hosts().preview.url, {
        ...quick,
        batchSize: 32,
        maxLength: 2048,
      });
      const config = {
        ...(JSON.parse(readFileSync(`${demoModel}config.json`, 'utf8')) as object),
        hidden_size: 960,
        intermediate_size: 2560,
        num_hidden_layers: 32,
        num_attention_heads: 15,
        num_key_value_heads: 5,
        vocab_size: 49152,
        max_position_embeddings: 8192,
      };
      await tab.page.locator('input[name=model][value=files]').check();
      writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
      writeWithoutValues(config, join(folder, 'model.safetensors'));
      await tab.page
        .locator('#model-panel')
        .getByLabel('Choose files')
        .setInputFiles([
          `${demoModel}tokenizer.json`,
          ...['config.json', 'model.safetensors'].map((name) => join(folder, name)),
        ]);
      const note = tab.page.locator('#estimate-note');
      await note.filter({hasText: /^No: it would take [\d.]+\sGB of the 3\.98\sGB/}).waitFor();
      // the files at 16 bits, the checkpoint and the model as it was saved, of which a download is made
      const storage =
        /^Takes up to 4\.85\sGB of this browser’s storage, downloads included, and 6\.(48|49)\sGB for a moment/;
      expect(await tab.text('estimate-storage')).to.match(storage);
      await tab.page.locator('#estimate-way').getByRole('button', {name: /^Set /}).click();
      await note.filter({hasText: /^Yes: it takes [\d.]+\sGB/}).waitFor();
      expect(tab.errors).to.eql([]);
    } finally {
      rmSync(folder, {recursive: true});
    }
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

/** Writes a file of weights at 16 bits that takes no room on the disk: its numbers are a hole. */
function writeWithoutValues(config: JsonObject, path: string): void {
  let end = 0;
  const header = Object.fromEntries(
    [...weightShapes(readConfigJson('a test', config))].map(({name, shape}) => {
      const start = end;
      end += 2 * shape.reduce((product, size) => product * size, 1);
      return [name, {dtype: 'BF16', shape, data_offsets: [start, end]}];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text]));
  truncateSync(path, size.length + text.length + end);
}

function expectLosses(tab: Tab, steps: number): void {
  const losses = tab.losses().steps;
  expect(losses).to.have.length.at.least(steps);
  for (const loss of losses) expect(loss).to.be.within(1, 8);
}
