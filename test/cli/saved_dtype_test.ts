import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import type {Context} from '../../src/cli/command';
import {saveInOwnType} from '../../src/cli/saved_dtype';
import type {FinetuneSettings} from '../../src/cli/finetune_options';
import {parseHeader} from '../../src/files/safetensors_header';
import {loadLlama, perplexity, saveLlama, textDataset} from '../../src/llama';
import {defaultBackend, itAtLength, thorough} from '../support/backends';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

describe('the number type of a model that was trained', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let data: string;
  before(async () => {
    // whose weights are small, so that little is rounded off
    folder = await createModelFolder({hiddenSize: 32, initializerRange: 0.03});
    data = folder.writeLines('texts.jsonl', texts(30));
    const {model} = await loadLlama(folder.model, {kernels: 'none'});
    const own = JSON.parse(readFileSync(join(folder.model, 'config.json'), 'utf8')) as object;
    await saveLlama(model, folder.model, {dtype: 'BF16'});
    model.dispose();
    expect(own).to.include({dtype: 'float32'});
  });
  after(() => folder.remove());

  /** The types of the tensors in the file of a model. */
  const typesIn = (model: string): string[] => {
    const bytes = Uint8Array.from(readFileSync(join(model, 'model.safetensors')));
    const end = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const {entries} = parseHeader('test', bytes.subarray(8, end), bytes.length);
    return [...new Set(entries.map(({dtype}) => dtype))];
  };

  const train = async (output: string, ...more: string[]) => {
    const run = join(folder.path, output);
    const args = ['finetune', '--model', folder.model, '--data', data, '--output', run, '--json'];
    const sizes = ['--steps', '4', '--batch-size', '4', '--max-length', '12', '--rank', '4'];
    const all = [...args, ...(more.includes('lora') ? sizes.slice(0, -2) : sizes)];
    const {code, stdout, stderr} = await runCli([...all, '--backend', defaultBackend, ...more]);
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(stdout) as {
      dtype: string;
      heldOutLoss: {before: number; after: number; saved?: number};
    };
    return {...result, stderr, model: join(run, 'model'), run};
  };

  it('is that of its files, BF16, if the held-out loss of what was saved is no higher', async () => {
    const {numTensors} = tf.memory();
    const {dtype, heldOutLoss, stderr, model, run} = await train('own');
    expect(dtype).to.equal('BF16');
    expect(typesIn(model)).to.deep.equal(['BF16']);
    expect(stderr).to.match(
      /held-out loss ([\d.]+), with the weights as BF16 ([\d.]+): the model is saved as BF16, as it was/,
    );
    expect(heldOutLoss.saved).to.be.closeTo(heldOutLoss.after, 0.005);
    // which is that of the file
    const evaluated = await runCli(['evaluate', '--model', model, '--data', data, '--json']);
    expect(evaluated.code).to.equal(0);
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as object;
    expect(config).not.to.have.property('dtype');
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('is that of --dtype without a question, and F32 with merged adapters', async () => {
    const types = thorough ? ['F32', 'F16'] : ['F16'];
    const adapted = thorough ? [['--method', 'lora']] : [];
    for (const more of [...types.map((dtype) => ['--dtype', dtype]), ...adapted]) {
      const {dtype, heldOutLoss, stderr, model} = await train(more.join(''), ...more);
      expect([dtype, ...typesIn(model)]).to.deep.equal(
        more[1] === 'lora' ? ['F32', 'F32'] : [more[1], more[1]],
      );
      expect(stderr).not.to.include('with the weights as');
      expect(heldOutLoss).not.to.have.property('saved');
    }
  });

  itAtLength('is the same for a run that was stopped and goes on', async () => {
    const whole = await train('whole', '--seed', '3');
    const output = join(folder.path, 'stopped');
    const args = ['finetune', '--model', folder.model, '--data', data, '--output', output];
    const sizes = ['--steps', '4', '--batch-size', '4', '--max-length', '12', '--rank', '4'];
    const all = [...args, ...sizes, '--backend', defaultBackend, '--seed', '3'];
    const stopped = await runCli([...all, '--evaluate-every', '2'], null, 'step 2: held-out loss');
    expect(stopped.code).to.equal(130);
    const {code, stderr} = await runCli(['finetune', '--resume', output]);
    expect(code, stderr).to.equal(0);
    const weights = (path: string) => readFileSync(join(path, 'model.safetensors'));
    expect(weights(join(output, 'model')).equals(weights(whole.model))).to.equal(true);
    expect(typesIn(join(output, 'model'))).to.deep.equal(['BF16']);
  });

  it('is F32 after a training whose steps are rounded off', async () => {
    const large = await createModelFolder({hiddenSize: 32, initializerRange: 0.3});
    const {model} = await loadLlama(large.model, {kernels: 'none'});
    await saveLlama(model, large.model, {dtype: 'BF16'});
    model.dispose();
    const {dtype, heldOutLoss, stderr, model: saved} = await train('large', '--model', large.model);
    expect([dtype, ...typesIn(saved)]).to.deep.equal(['F32', 'F32']);
    expect(heldOutLoss).not.to.have.property('saved');
    expect(stderr).to.match(
      /with the weights as BF16 [\d.]+, more than 0\.005 higher: the model is saved as F32/,
    );
    large.remove();
  });

  it('is F32 if the held-out loss would be higher by more than 0.005', async () => {
    const {numTensors} = tf.memory();
    const {model} = await loadLlama(folder.model, {headInLoss: true});
    const notes: string[] = [];
    const console = {
      note: (line: string) => notes.push(line),
      progress: () => ({update: () => undefined, end: () => undefined}),
    };
    const options = {shuffle: false, maxLength: 12};
    const heldOut = () => textDataset(data, folder.tokenizer, options);
    const {loss} = await perplexity(model, heldOut());
    const target = join(folder.path, 'target');
    const save = (before: number) =>
      saveInOwnType(
        {method: 'full'} as FinetuneSettings,
        {model, dtype: 'BF16'},
        ...([target, {}, before, {heldOut, heldOutExamples: 30}] as const),
        {console} as unknown as Context,
      );
    const kept = await save(loss - 0.0049);
    expect(kept.dtype).to.equal('BF16');
    expect(kept.loss).to.be.closeTo(loss, 1e-4);
    expect(typesIn(target)).to.deep.equal(['BF16']);
    expect(await save(loss - 0.0051)).to.deep.equal({dtype: 'F32', loss: null});
    expect(typesIn(target)).to.deep.equal(['F32']);
    expect(notes[1]).to.match(
      /^held-out loss [\d.]+, with the weights as BF16 [\d.]+, more than 0\.005 higher: the model is saved as F32; --dtype BF16 takes half of the disk$/,
    );
    expect(await save(NaN)).to.deep.equal({dtype: 'F32', loss: null});
    model.dispose();
    expect(tf.memory().numTensors).to.equal(numTensors);
  });
});
