/** A training in the page, from the click to the files. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {expectSameInNode, QUESTION, saveWhole} from './in_node';
import {quick, Tab} from './tab';

describe('a training in the page', () => {
  it('begins at a click, on threads: the loss falls, and the heat map has a cell for each step', async () => {
    const steps = 24;
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps, evaluateEvery: 12}); // prettier-ignore
    await tab.click('start');
    await tab.isIn('ended');
    const [info] = tab.of('ready');
    expect(info).to.include({backend: 'wasm', threads: 2, steps});
    const {steps: losses, heldOut} = tab.losses();
    expect(losses).to.have.length(steps);
    expect(mean(losses.slice(-6))).to.be.below(mean(losses.slice(0, 6)));
    expect(Object.keys(heldOut)).to.eql(['0', '12', '24']);
    expect(heldOut[steps]).to.be.below(heldOut[0]!);

    const trained = tab.of('step').map(({blocks}) => blocks);
    const cells = await tab.heatMap(steps);
    expect(cells).to.have.length(info!.blocks.length);
    const colours: Record<string, Set<string>> = {on: new Set(), off: new Set()};
    cells.forEach((row, block) =>
      row.forEach((colour, step) =>
        colours[trained[step]!.includes(block) ? 'on' : 'off']!.add(colour),
      ),
    );
    expect(colours.off!.size).to.equal(1);
    expect(colours.on!.size).to.be.above(0);
    expect([...colours.on!]).not.to.include([...colours.off!][0]);

    // each in a frame of its own, which may come after that of the end
    const texts = tab.page.locator('#samples article');
    await texts.nth(3).waitFor();
    expect(await texts.count()).to.equal(4); // at 0, 8, … 24
    expect(await tab.text('figure-held-out')).to.equal(heldOut[steps]!.toFixed(3));

    // another one of as many steps
    const bars = tab.page.locator('#heat-rows .score[style*="scaleX"]');
    expect(await bars.count()).to.equal(info!.blocks.length);
    await tab.click('again');
    await tab.click('start');
    await tab.page.waitForFunction(() => document.querySelector('#heat-rows .score[style*="scaleX"]') === null); // prettier-ignore
    await bars.first().waitFor({state: 'attached'});
    await tab.page
      .locator('#runs li:first-child')
      .getByText(/^the run above/)
      .waitFor();
    expect(tab.errors).to.eql([]);
  });

  for (const width of [360, 1280]) {
    it(`says of what is pointed at what it is, in words that are not cut, ${width} px wide`, async () => {
      const context = await newContext({viewport: {width, height: 800}});
      const tab = await Tab.open(context, hosts().preview.url, {...quick, steps: 2000, gamma: 1});
      const {page} = tab;
      await tab.click('start');
      await tab.reaches(8);
      await tab.click('pause');
      await tab.isIn('paused');
      for (const [name, target] of [
        ['heat', '#heat-cells'],
        ['loss', '#loss-chart .u-over'],
        ['memory', '#memory-chart .u-over'],
      ] as const) {
        const picture = page.locator(target);
        const readout = page.locator(`#${name}-readout`);
        await picture.scrollIntoViewIfNeeded();
        const box = (await picture.boundingBox())!;
        for (const x of [1, 3, box.width - 3]) {
          for (const y of [2, box.height - 24]) {
            await page.mouse.move(box.x + x, box.y + y);
            const words = await readout.innerText();
            expect(words).to.match(name === 'heat' ? /^Block [07], step [0-9,]+: / : /^Step \d+: /);
            const hidden = await readout.evaluate((all) => all.scrollHeight - all.clientHeight);
            expect(hidden, words).to.equal(0);
          }
        }
      }
      // of a step that is to come nobody knows what will be drawn
      await page.locator('#heat-cells').hover({position: {x: 150, y: 3}});
      expect(await tab.text('heat-readout')).to.match(/not there yet\. Score/);
      expect(tab.errors).to.eql([]);
    });
  }

  describe('whose model is downloaded', () => {
    let folder: string;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
      await saveWhole(join(folder, 'own'));
    });
    after(() => rmSync(folder, {recursive: true, force: true}));

    it('loads in Node, with the losses and the answers that the page had', async () => {
      const context = await newContext();
      const tab = await Tab.open(context, hosts().preview.url, {...quick, frozenDtype: 'F32'});
      await tab.page.locator('input[name=model][value=files]').check();
      await tab.page
        .locator('#model-panel input[webkitdirectory]')
        .setInputFiles(join(folder, 'own'));
      await tab.click('start');
      await tab.isIn('ended');

      await tab.page.fill('#chat-text', QUESTION);
      const field = tab.page.locator('#chat-text');
      const place = await field.boundingBox();
      await tab.click('chat-send');
      await tab.page.locator('#chat-stop').waitFor();
      expect(await field.boundingBox()).to.eql(place);
      await tab.page.locator('#chat-send:enabled').waitFor();
      const answers = await Promise.all(
        ['before', 'after'].map((of) => tab.page.locator(`#chat-${of}`).textContent()),
      );
      await tab.page.locator('#runs').getByText('the run above').waitFor();
      const kept = await keptBytes(tab);
      expect(kept).to.be.above(3e6);
      const zip = await tab.download('download-safetensors');
      expect(zip.suggestedFilename()).to.equal('owlore-model.zip');
      const gguf = await tab.download('download-gguf');
      expect(gguf.suggestedFilename()).to.equal('owlore-model.gguf');
      const ggufPath = join(folder, 'owlore-model.gguf');
      await gguf.saveAs(ggufPath);
      await tab.page.getByText('Handed to your downloads.').waitFor();
      expect(await keptBytes(tab), 'the run keeps no copy').to.equal(kept);
      await expectSameInNode(
        {
          ...{original: join(folder, 'own'), zip: await zip.path(), gguf: ggufPath},
          ...{losses: tab.losses(), answers},
        },
        join(folder, 'saved'),
      );
      expect(tab.errors).to.eql([]);
    });
  });
});

/** Bytes that the browser's storage has in folders, where runs are. */
function keptBytes({page}: Tab): Promise<number> {
  return page.evaluate(async () => {
    type Folder = FileSystemDirectoryHandle & {values(): AsyncIterable<FileSystemHandle>};
    const root = (await navigator.storage.getDirectory()) as Folder;
    const folders = [root];
    let sum = 0;
    for (let folder = folders.pop(); folder; folder = folders.pop()) {
      for await (const entry of folder.values()) {
        if (entry.kind === 'directory') folders.push(entry);
        else if (folder !== root) sum += (await entry.getFile()).size;
      }
    }
    return sum;
  });
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}
