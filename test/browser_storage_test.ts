/**
 * Models, tokenizers, adapters and checkpoints in a folder that a browser gives. In Node that is one in an IndexedDB; `npm run test:chromium`
 * runs the same in a page, on the browser's own storage.
 */
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {CheckpointCallback, resumeCheckpoint, saveCheckpoint} from '../src/index';
import {browserStorage} from '../src/files/browser_storage';
import type {DirectoryHandle} from '../src/files/directory_handle';
import {listFiles} from '../src/files/list_files';
import {
  createLlama,
  getLlamaWeights,
  loadLlama,
  loadTokenizer,
  saveGguf,
  saveLlama,
} from '../src/llama';
import {applyLora, loadLora} from '../src/lora';
import {SmallTraining} from './checkpoint/small_training';
import {readFiles} from './llama/files/checkpoint_files';
import {tokenizerFiles} from './llama/text/tokenizers';
import {useIndexedDb} from './support/indexed_db';
import {rejection} from './support/rejection';
import {held} from './support/sentinels';
import {expectWarning} from './support/warnings';

describe('the browser’s storage', () => {
  useIndexedDb();
  let folder: DirectoryHandle;
  let before: ReturnType<typeof held>;
  beforeEach(async () => {
    before = held();
    const storage = await browserStorage();
    await storage.removeEntry('test', {recursive: true}).catch(() => undefined);
    folder = await storage.getDirectoryHandle('test', {create: true});
  });
  afterEach(() => expect(held()).to.deep.equal(before));

  /** Another handle of the same folder, as after a visit. */
  const again = async (): Promise<DirectoryHandle> =>
    (await browserStorage()).getDirectoryHandle('test');
  const manifests = async (): Promise<string[]> =>
    (await listFiles('test', folder)).filter((name) => name.endsWith('.json')).sort();
  async function withTraining<T>(body: (training: SmallTraining) => Promise<T>): Promise<T> {
    const training = new SmallTraining();
    try {
      return await body(training);
    } finally {
      training.dispose();
    }
  }

  it('has checkpoints from which a training goes on as if it had not stopped', async () => {
    const [losses, snapshot] = await withTraining(async (training) => {
      await training.train(4);
      const later = await training.train(3);
      return [later, await training.snapshot()] as const;
    });
    await withTraining(async (training) => {
      await training.train(2);
      const first = await saveCheckpoint(folder, training.parts, {keep: 2});
      await training.train(2);
      const {path, bytes} = await saveCheckpoint(folder, training.parts, {keep: 2});
      expect(await manifests()).to.deep.equal([first.path, path]);
      // layers that did not train are there already
      expect(bytes).to.be.lessThan(first.bytes);
    });
    await withTraining(async (training) => {
      const resumed = await resumeCheckpoint(await again(), training.parts);
      expect(resumed!.step).to.equal(4);
      expect(await training.train(3)).to.deep.equal(losses);
      expect(await training.snapshot()).to.deep.equal(snapshot);
      // by another handle: the older ones are its own, too
      const {path} = await saveCheckpoint(await again(), training.parts, {keep: 1});
      expect(await manifests()).to.deep.equal([path]);
    });
  });

  it('has the checkpoint before one that is damaged', async () => {
    await withTraining(async (training) => {
      await training.train(1);
      const {path} = await saveCheckpoint(folder, training.parts);
      await training.train(1);
      const damaged = await saveCheckpoint(folder, training.parts);
      const file = await (await folder.getFileHandle(damaged.path)).createWritable!();
      await file.write(new Uint8Array(10));
      await file.close();
      expectWarning(/is damaged/);
      const resumed = await resumeCheckpoint(folder, training.parts);
      expect(resumed!.path).to.equal(path);
    });
  });

  it('tells a training that another saves to the same folder', async () => {
    await withTraining(async (training) => {
      await training.train(1);
      await saveCheckpoint(folder, training.parts);
      const [name] = await manifests();
      const other = name!.replace('000001', '000002');
      await (await (await folder.getFileHandle(other, {create: true})).createWritable!()).close();
      const {message} = await rejection(saveCheckpoint(folder, training.parts));
      expect(message).to.include(`'test' has the checkpoint ${other}, which came there while`);
    });
  });

  it('takes what a CheckpointCallback saves', async () => {
    await withTraining(async ({model, optimizer, callback}) => {
      model.compile({optimizer, loss: 'meanSquaredError'});
      const x = tf.ones([4, 6]);
      const y = tf.ones([4, 1]);
      const checkpoints = new CheckpointCallback({target: folder, callback: callback!, keep: 2});
      await model.fit(x, y, {epochs: 6, verbose: 0, callbacks: [callback!, checkpoints]});
      tf.dispose([x, y]);
      expect((await manifests()).map((name) => name.slice(0, 17))).to.deep.equal([
        ...['checkpoint-000005', 'checkpoint-000006'],
      ]);
    });
  });

  it('has models and their tokenizers, in the place of those before', async () => {
    const files = new Map([...readFiles('llama3'), ...tokenizerFiles('bytelevel')]);
    const {model} = await loadLlama(files);
    const names = await saveLlama(model, folder, {maxShardBytes: 60_000});
    expect((await listFiles('test', folder)).sort()).to.deep.equal([...names].sort());
    expect(names).to.include('model-00002-of-00003.safetensors');
    const loaded = await loadLlama(await again());
    expect(await getLlamaWeights(loaded.model)).to.deep.equal(await getLlamaWeights(model));
    loaded.model.dispose();
    const tokenizer = await loadTokenizer(folder);
    const expected = await loadTokenizer(tokenizerFiles('bytelevel'));
    expect(tokenizer.encode('the cat')).to.deep.equal(expected.encode('the cat'));
    const whole = await saveLlama(model, folder);
    model.dispose();
    expect((await listFiles('test', folder)).sort()).to.deep.equal([...whole].sort());
    expect(whole).to.include('model.safetensors');
  });

  it('has GGUF files', async () => {
    const model = createLlama({
      ...{vocabSize: 1000, hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 2},
      ...{numAttentionHeads: 2, numKeyValueHeads: 1, seed: 1},
    });
    const inMemory = new Map<string, Uint8Array>();
    const tokenizer = tokenizerFiles('bytelevel');
    for (const target of [inMemory, folder]) await saveGguf(model, target, {tokenizer});
    model.dispose();
    expect(await listFiles('test', folder)).to.deep.equal(['model.gguf']);
    const file = await (await folder.getFileHandle('model.gguf')).getFile();
    expect(new Uint8Array(await file.arrayBuffer())).to.deep.equal(inMemory.get('model.gguf'));
    const loaded = await loadLlama({'model.gguf': file});
    loaded.model.dispose();
  });

  it('has adapters', async () => {
    const {model} = await loadLlama(readFiles('smollm2'));
    const lora = applyLora(model, {rank: 2});
    await lora.save(folder);
    const inMemory = new Map<string, Uint8Array>();
    await lora.save(inMemory);
    lora.remove();
    expect((await listFiles('test', folder)).sort()).to.deep.equal([...inMemory.keys()].sort());
    const loaded = await loadLora(model, await again());
    await loaded.load(folder);
    loaded.remove();
    model.dispose();
  });

  it('says what a folder lacks', async () => {
    expect((await rejection(loadLlama(folder))).message).to.equal(
      'loadLlama: there is no config.json in test',
    );
  });
});
