/** A training in the page, from the click to the files. */
import {execFile} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  generate,
  loadLlama,
  loadTokenizer,
  perplexity,
  saveLlama,
  textDataset,
  type LoadedLlama,
} from '../../src/llama/index';
import {isHeldOut} from '../../src/training_defaults';
import {loadBackend} from '../../tools/load_backend';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));
const novel = new URL('../../demo/web/dist/texts/moby-dick.txt', import.meta.url);

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

    expect(await tab.text('figure-held-out')).to.equal(heldOut[steps]!.toFixed(3));
    expect(await tab.page.locator('#samples article').count()).to.equal(5); // at 0, 6, … 24
    expect(tab.errors).to.eql([]);
  });

  describe('whose model is downloaded', () => {
    let folder: string;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
      await loadBackend('wasm');
      await tf.setBackend('wasm');
      // the demo's model, in numbers of 32 bits, so that no loss is rounded away in the files
      const {model} = await loadLlama(demoModel);
      await saveLlama(model, join(folder, 'own'), {dtype: 'F32'});
      model.dispose();
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

      await tab.page.fill('#chat-text', 'The captain');
      await tab.click('chat-send');
      await tab.page.locator('#chat-send:enabled').waitFor();
      const [before, after] = await Promise.all(
        ['before', 'after'].map((of) => tab.page.locator(`#chat-${of}`).textContent()),
      );
      expect(before).not.to.equal(after);

      const zip = await tab.download('download-safetensors');
      expect(zip.suggestedFilename()).to.equal('owlore-model.zip');
      const unpack = ['-m', 'zipfile', '-e', await zip.path(), join(folder, 'saved')];
      await promisify(execFile)('python3', unpack);
      const saved = join(folder, 'saved', 'owlore-model');
      expect(readdirSync(saved)).to.include.members(['config.json', 'model.safetensors', 'tokenizer.json']); // prettier-ignore
      const gguf = await tab.download('download-gguf');
      expect(gguf.suggestedFilename()).to.equal('owlore-model.gguf');
      await gguf.saveAs(join(folder, 'owlore-model.gguf'));

      const [original, tuned, ofGguf] = await Promise.all(
        [join(folder, 'own'), saved, join(folder, 'owlore-model.gguf')].map((path) =>
          loadLlama(path),
        ),
      );
      const {heldOut} = tab.losses();
      expect(await heldOutLoss(original!, saved)).to.be.closeTo(heldOut[0]!, 1e-6);
      expect(await heldOutLoss(tuned!, saved)).to.be.closeTo(heldOut[quick.steps as number]!, 1e-6);
      expect(await answer(original!, saved)).to.equal(before);
      expect(await answer(tuned!, saved)).to.equal(after);
      // its weights are rounded to numbers of 16 bits
      const expected = logits(tuned!);
      const off = logits(ofGguf!).map((value, i) => Math.abs(value - expected[i]!));
      expect(Math.max(...off)).to.be.below(0.02);
      for (const {model} of [original!, tuned!, ofGguf!]) model.dispose();
      expect(tab.errors).to.eql([]);
    });
  });
});

/** The loss on the examples that the page holds out, here. */
async function heldOutLoss({model, config}: LoadedLlama, folder: string): Promise<number> {
  const tokenizer = await loadTokenizer(folder);
  const {maxLength, batchSize, validationSplit} = quick as Record<string, number>;
  const batches = textDataset(new File([readFileSync(novel)], 'moby-dick.txt'), tokenizer, {
    ...{config, maxLength: maxLength!, batchSize: batchSize!, shuffle: false},
    select: (i) => isHeldOut({validationSplit: validationSplit!}, i),
  });
  return (await perplexity(model, batches)).loss;
}

/** What the page asks a model in its chat, here: as many tokens, of the same draws. */
async function answer({model}: LoadedLlama, folder: string): Promise<string> {
  const tokenizer = await loadTokenizer(folder);
  const ids = tokenizer.encode('The captain');
  const all = await generate(model, ids, {maxNewTokens: 80, temperature: 0.7, seed: 1});
  return tokenizer.decode(all.ids);
}

function logits({model}: LoadedLlama): Float32Array {
  return tf.tidy(() => {
    const ids = tf.tensor([[1, 2, 3, 5, 8, 13, 21, 34]], [1, 8], 'int32');
    return (model.predict(ids) as tf.Tensor).dataSync() as Float32Array;
  });
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}
